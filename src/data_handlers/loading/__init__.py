"""Batches of samples: `sampling` defines their order and starts workers, `workers` runs inside of these."""
