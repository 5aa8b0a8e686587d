"""The machine: it knows how to run, never what is run."""

DISTRIBUTION = "ssl3d-bench"
