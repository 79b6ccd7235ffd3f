"""The trainers' zip: names inside it, as EG3D's and StyleGAN's tools give them, and ours; pictures that it takes."""

from __future__ import annotations

from lpff_shards.schemas.sources import PUBLISHED

LABELS = "dataset.json"
"""The cameras, by picture."""
SAMPLES = "samples.jsonl"
"""The fields, a line a picture."""
SNAPSHOTS = "_snap_idxs.json"
"""What follows a list's name in the member that holds the indices of the pictures for snapshots."""
SNAPSHOT_PICTURES = 16
"""Indices of such a member: the pictures of a snapshot's grid."""
FORK_LISTS = tuple(PUBLISHED.values())
"""The lists that LPFF's forks take, by the names that their `--camera_sample_mode` takes."""
ANY_SET = FORK_LISTS[-1]
"""The list of a data set that is none of the published ones: LPFF's forks take five names only, and this is one."""
EG3D_SIDES = (128, 256, 512)
"""Sides in pixels that EG3D's `--cfg=ffhq` takes."""


def picture_stem(index: int, replica: int = 0) -> str:
    """The name of a picture by its number in the zip, less its suffix; a copy's name ends in the copy's number."""
    copy = f"_{replica:02d}" if replica else ""
    return f"{index // 1000:05d}/img{index:08d}{copy}"


def misfit(width: int, height: int, mode: str, side: int) -> str | None:
    """Why the readers of the trainers' zip cannot take a picture, and what to do, or None.

    Args:
        width, height, mode: of the picture.
        side: that most pictures of the data set have, 0 where none has one that fits.
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
