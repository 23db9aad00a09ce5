"""Using a trained network.

`trained` loads it. From there `denoise_files` goes through files and folders, with `result_files`, the names
that results get, and `folder_page`, the page beside them; `testing` scores a dataset; `denoiser` takes arrays
from Python; `export` writes the weights for other programs.
"""
