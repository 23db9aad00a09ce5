"""The formats of image files.

`known` says which there are. `stored` opens a file of any kind by its content, as one of those that `base`
describes: `raster` (PNG, JPEG, BMP, WebP, PNM; their headers in `raster_header`, what two of them alone have
in `png` and `jpeg`), `tiff` (with `tiff_pages`, `tiff_tags`, `tiff_texts`, `tiff_layout`, and `holes`, its
missing values) or `npy`. `orientation` turns them upright, and `exif` says so.
"""
