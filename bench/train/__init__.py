"""The training room: one loop for every phase of every method, pre-training and fine-tuning alike."""
