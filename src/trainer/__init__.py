"""Names to objects, then training, evaluation and inference."""
