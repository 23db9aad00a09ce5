"""The formats of image files.

`known` says which there are. `stored` opens a file of any kind by its content, as one of those that `base`
describes: `raster` (PNG, JPEG, BMP, WebP, PNM, GIF, HEIC, AVIF; their headers in `raster_header`, what some
of them alone have in `png`, `jpeg` and `heif`), `tiff` (with `tiff_pages`, `tiff_tags`, `tiff_texts`,
`tiff_layout`, `tiff_colours`, and `holes`, its missing values) or `npy`. `colour` makes RGB of what is
neither that nor grey, `orientation` turns images upright, and `exif` says so.
"""
