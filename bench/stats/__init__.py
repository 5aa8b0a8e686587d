"""Confidence intervals, paired comparisons and tie letters, on plain numbers."""
