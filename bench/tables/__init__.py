"""What stands in a table of results or of a paper, and how it is written down; `bench.table` is the door."""
