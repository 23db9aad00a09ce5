"""NL-N2V: train image denoisers from noisy images alone."""

import os

# OpenMP threads that spin while they wait take CPU cores from other processes: on two busy cores a training
# step took three times as long. torch reads this when it loads. A value set by the user stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
