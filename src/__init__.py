"""NL-N2V: denoisers trained from noisy images alone."""

import os

# Threads that wait for each other by spinning take the cores from whatever else runs: on two busy cores a
# training step took three times as long. Read when torch is loaded; a value of the user's stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
