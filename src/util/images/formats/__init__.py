"""The formats of image files.

`known` lists the formats, and `stored` opens a file of any format by its content. `base` defines their common
interface. `raster` reads and writes PNG, JPEG, BMP, WebP, PNM, GIF, HEIC and AVIF, with the headers in
`raster_header` and the parts of single formats in `png`, `jpeg` and `heif`. `tiff` is for TIFF, with
`tiff_pages`, `tiff_tags`, `tiff_texts`, `tiff_layout`, `tiff_colours` and `holes` for missing values; `npy`
is for NumPy arrays. `colour` converts other colours to RGB, `orientation` turns images upright, and `exif`
updates the EXIF data.
"""
