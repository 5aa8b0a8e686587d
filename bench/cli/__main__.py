"""`python -m bench.cli` is `bench`: how torch's launcher starts one process per device."""

from bench.cli import main

main()
