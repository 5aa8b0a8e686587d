"""One card per task; code lies in kinds and layouts, case lists in splits."""

DISTRIBUTION = "ssl3d-bench"
