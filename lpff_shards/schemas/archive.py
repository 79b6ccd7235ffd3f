"""The trainers' zip: member names, as in the zips of EG3D's and StyleGAN's tools, and the pictures that it accepts."""

from __future__ import annotations

from lpff_shards.schemas.sources import PUBLISHED

LABELS = "dataset.json"
"""Member with the cameras, by picture."""
SAMPLES = "samples.jsonl"
"""Member with the fields, one line per picture."""
SNAPSHOTS = "_snap_idxs.json"
"""End of the name of a member that lists the pictures for snapshots, after the list's name."""
SNAPSHOT_PICTURES = 16
"""Number of indices in such a member: the pictures of a snapshot's grid."""
FORK_LISTS = tuple(PUBLISHED.values())
"""The lists that LPFF's forks read, by the values of their `--camera_sample_mode`."""
ANY_SET = FORK_LISTS[-1]
"""The list of an unpublished mix: LPFF's forks accept five names only, and this is one of them."""
EG3D_SIDES = (128, 256, 512)
"""Sides in pixels that EG3D's `--cfg=ffhq` accepts."""


def picture_stem(index: int, replica: int = 0) -> str:
    """Return a picture's name without suffix by its number in the zip; a copy's name ends in the copy's number."""
    copy = f"_{replica:02d}" if replica else ""
    return f"{index // 1000:05d}/img{index:08d}{copy}"


def misfit(width: int, height: int, mode: str, side: int) -> str | None:
    """Return why the readers of the trainers' zip cannot use a picture, and what to do; None for a good picture.

    Args:
        width, height: of the picture in pixels.
        mode: color mode of the picture.
        side: commonest valid side in the data set, pixels; 0 without a valid picture.
    """
    size = f"the picture is {width}x{height}"
    if width != height:
        return f"{size}, and --format zip takes square ones"
    if width & (width - 1):
        advised = side or 1 << width.bit_length() - 1
        return f"{size}, and --format zip takes powers of two: --resolution {advised} makes it so"
    if width != side:
        others = f"{side}x{side} like others here" if side else "and others fit less"
        return f"{size}, and --format zip takes one size, {others}: --resolution {side or width} makes them alike"
    if mode != "RGB":
        return f"the picture has color mode {mode}, and --format zip takes RGB: --image png makes it so"
    return None
