"""One reader per official on-disk layout, which also writes its phantoms. None imports torch."""
