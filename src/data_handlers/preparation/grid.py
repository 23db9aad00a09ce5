"""Where the pieces of an image lie."""

from collections.abc import Iterator

from src.data_handlers.datasets.base import Box


def offsets(length: int, crop: int, step: int) -> list[int]:
    """Where crops begin along one edge of an image.

    Parameters
    ----------
    length : int
        The edge, px.
    crop : int
        The crop's edge, px, at least 1.
    step : int
        From one crop to the next, px, at least 1; below `crop` they overlap by the difference.

    Returns
    -------
    list of int
        0, step, 2 * step and so on while the crop fits, then one flush with the far end if anything is left;
        none where the crop is longer than the edge.

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
    """The square crops of an image, row by row from the top, each row from the left; see `offsets`."""
    columns = offsets(width, crop, step)
    return [Box(top, left, crop, crop) for top in offsets(height, crop, step) for left in columns]


def strips(boxes: list[Box], most_pixels: int) -> Iterator[list[Box]]:
    """Neighbours of the list that lie above each other, so that one reading serves them all.

    Parameters
    ----------
    boxes : list of Box
        In the order in which they are wanted.
    most_pixels : int
        How many the rectangle around a group may have; a box alone may have more.

    Yields
    ------
    list of Box
        A group with the same columns.
    """
    group: list[Box] = []
    for box in boxes:
        if group and (
            (box.left, box.width) != (group[0].left, group[0].width)
            or surrounding([*group, box]).height * box.width > most_pixels
        ):
            yield group
            group = []
        group.append(box)
    if group:
        yield group


def surrounding(group: list[Box]) -> Box:
    """The rectangle around boxes with the same columns."""
    top = min(box.top for box in group)
    bottom = max(box.top + box.height for box in group)
    return Box(top, group[0].left, bottom - top, group[0].width)
