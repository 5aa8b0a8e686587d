"""Parts that two or more methods share: masks, decoders, losses, views, draws. A part knows no method."""
