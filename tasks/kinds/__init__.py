"""The machinery of each kind of task: head, loss, inference, prediction format, once for all its cards."""
