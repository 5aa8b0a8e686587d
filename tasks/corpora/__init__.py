"""One card per pre-training pool: which public sets it joins, and what the paper counts."""
