"""A page to explore a trained model."""
