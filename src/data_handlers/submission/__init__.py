"""From denoised pictures to what a benchmark's server accepts, and the proof that it is right."""
