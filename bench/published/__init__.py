"""What the four papers print, cell by cell, and whether it adds up."""
