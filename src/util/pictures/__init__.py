"""Picture files of any kind, read and written alike; `src.util.image_io` is the door."""
