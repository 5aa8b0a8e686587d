"""What several cards share, protocols above all: a card calls for it with what is its own, and says nothing else."""
