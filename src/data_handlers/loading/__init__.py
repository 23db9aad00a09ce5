"""Samples as batches: `sampling` orders them and starts workers, `workers` is what runs inside of those."""
