"""Names inside the trainers' zip, as EG3D's and StyleGAN's tools give them, and ours."""

from __future__ import annotations

LABELS = "dataset.json"
"""The cameras, by picture."""
SAMPLES = "samples.jsonl"
"""The fields, a line a picture."""
SNAPSHOTS = "_snap_idxs.json"
"""What follows a list's name in the member that holds the indices of the pictures for snapshots."""
SNAPSHOT_PICTURES = 16
"""Indices of such a member: the pictures of a snapshot's grid."""
FORK_LISTS = ("FFHQ", "LPFF", "FFHQ_LPFF", "FFHQ_rebalanced", "FFHQ_LPFF_rebalanced")
"""The lists that LPFF's forks take, by the names that their `--camera_sample_mode` takes."""
ANY_SET = "FFHQ_LPFF_rebalanced"
"""The list of a data set that is none of the published ones: LPFF's forks take five names only, and this is one."""
EG3D_SIDES = (128, 256, 512)
"""Sides in pixels that EG3D's `--cfg=ffhq` takes."""


def picture_stem(index: int, replica: int = 0) -> str:
    """The name of a picture by its number in the zip, less its suffix; a copy's name ends in the copy's number."""
    copy = f"_{replica:02d}" if replica else ""
    return f"{index // 1000:05d}/img{index:08d}{copy}"
