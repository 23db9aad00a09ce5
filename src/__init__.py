"""NL-N2V: denoisers trained from noisy pictures alone."""
