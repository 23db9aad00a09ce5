"""The grid of crops of an image."""

from src.data_handlers.datasets.base import Box


def offsets(length: int, crop: int, step: int) -> list[int]:
    """Return where crops begin along one edge of an image.

    Parameters
    ----------
    length : int
        The edge, px.
    crop : int
        The crop's edge, px, at least 1.
    step : int
        The distance from one crop to the next, px, at least 1; crops overlap if it is below `crop`.

    Returns
    -------
    list of int
        0, step, 2 * step and so on while the crop fits, then one flush with the far end if anything is left;
        empty if the crop is longer than the edge.

    Examples
    --------
    >>> offsets(1200, 512, 256)
    [0, 256, 512, 688]
    >>> offsets(1024, 512, 256)
    [0, 256, 512]
    """
    starts = list(range(0, length - crop + 1, step))
    if starts and starts[-1] + crop < length:
        starts.append(length - crop)
    return starts


def crop_boxes(height: int, width: int, crop: int, step: int) -> list[Box]:
    """Return the square crops of an image, row by row; see `offsets`."""
    columns = offsets(width, crop, step)
    return [Box(top, left, crop, crop) for top in offsets(height, crop, step) for left in columns]
