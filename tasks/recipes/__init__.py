"""Protocols that several cards share: a card calls one with what is its own, and says nothing else."""
