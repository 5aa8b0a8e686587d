"""Pictures of runs and of results; every one is drawn on a canvas of its own and written in one go."""
