"""Networks: encoders that survive pre-training and the decoders that read them. Import the module you need."""
