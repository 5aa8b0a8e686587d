"""One file per method; what two of them share lies in parts."""

DISTRIBUTION = "ssl3d-bench"
