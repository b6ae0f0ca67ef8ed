"""Training of the small model on synthetic sequences."""
