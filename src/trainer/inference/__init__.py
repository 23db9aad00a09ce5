"""Using a trained network.

`trained` loads it, and `pixels` takes an image of any type through it. From there `denoise_files` goes
through files and folders, with `result_files`, the names that results get, `folder_page`, the page beside
them, and `finish_of_folder`, what is found in several together; `testing` scores a dataset; `denoiser` takes
arrays from Python; `export` writes the weights for other programs.
"""
