"""What the rooms agree on: cards, records, errors, and the plug for a method."""
