"""Use a trained network.

`trained` loads it, and `pixels` denoises the pixels of any image with it. `denoise_files` denoises files and
folders; `result_files` names the results, `folder_page` writes the report beside them, and `finish_of_folder`
measures what several images share. `testing` scores a dataset, `denoiser` takes arrays from Python, and
`export` writes the weights for other programs.
"""
