"""EG3D's cameras for StyleGAN-aligned FFHQ: by picture, or, where none can be told to be whose, as poses alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.camera import CAMERA_NUMBERS, mirror
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.cameras import NO_CAMERAS, Cameras
from lpff_shards.sources.ffhq_checks import ONLY_FFHQ, refuse_unmirrored
from lpff_shards.sources.ffhq_files import file_blob, number
from lpff_shards.sources.ffhq_ids import told_by_cameras
from lpff_shards.sources.ffhq_labels import (
    NO_PLACES,
    Places,
    chosen,
    first_with_ids,
    has_ids,
    labels_beside,
    places,
    read_labels,
)
from lpff_shards.sources.inventory import no_cameras


@dataclass(frozen=True, eq=False)
class Lent:
    """What EG3D's dataset.json gives.

    Attributes:
        cameras: of originals, by labels that tell the FFHQ id; `places` are the pictures' indices there.
        anonymous: float64 [n, 25], cameras of pictures and mirrors of which none can be told to be whose.
        notes: what the user should know.
    """

    cameras: Cameras = NO_CAMERAS
    places: Places = NO_PLACES
    anonymous: NDArray[np.float64] = field(default_factory=no_cameras)
    notes: tuple[str, ...] = ()


def lend(path: str, given: str | None, inside: Sequence[Blob], ids_known: bool) -> Lent:
    """Reads --ffhq-cameras for the pictures at a path.

    A file that names pictures by position tells nothing of FFHQ's ids, but another one of the same cameras does, which
    may lie in the set, beside it or beside the file.

    Args:
        given: the file, or None.
        inside: label files in the set.
        ids_known: whether the pictures have FFHQ ids.

    Raises:
        ShardsError: the file is not EG3D's of FFHQ.
    """
    if given is None:
        return Lent(notes=(f"--ffhq {path}: without --ffhq-cameras there are no cameras",))
    blob = file_blob("--ffhq-cameras", given)
    labels = read_labels(blob)
    if not ids_known:
        return _anonymous(labels, "the pictures are")
    if has_ids(labels):
        return Lent(_of_originals(labels), places(labels.rows))
    near = (*inside, *labels_beside(given, path))
    ids = first_with_ids(one for one in near if one.where != blob.where)
    told = told_by_cameras(labels, list(labels.rows), ids) if ids else None
    if told and told.is_enough:
        names = {n.file_name: label for label, n in told.numbers.items()}
        return Lent(_of_originals(chosen(labels, names)), places(told.ids.rows), notes=(told.note(),))
    return _anonymous(labels, "it is", *([told.note()] if told else []))


def _of_originals(labels: Cameras) -> Cameras:
    numbers = ((label, number(label)) for label in labels.rows)
    return chosen(labels, {label: label for label, n in numbers if n and n.has_ffhq_id and not n.is_mirror})


def _anonymous(labels: Cameras, what: str, *notes: str) -> Lent:
    """Cameras of which none can be told to be a picture's: the density of poses needs no more.

    Args:
        what: numbers by position, as the note says it.

    Raises:
        ShardsError: one is faulty, or they are not those of pictures and their mirrors.
    """
    for label, reason in labels.faults.items():
        raise ShardsError(f"{labels.where}: {label}: {reason}", "Check that it is the published file")
    originals, mirrors = (dict(_side(labels, is_mirror)) for is_mirror in (False, True))
    lone = [label for id, label in originals.items() if id not in mirrors]
    if not originals or (lone and not has_ids(labels)):
        reason = f"{lone[0]} has no mirror" if lone else "it names no picture as FFHQ does"
        raise ShardsError(f"{labels.where}: {reason}, so these are not FFHQ's cameras", ONLY_FFHQ)
    both = [id for id in originals if id in mirrors]
    refuse_unmirrored(labels.where, [originals[id] for id in both], [mirrors[id] for id in both], labels)
    own = labels.numbers[[labels.rows[label] for label in originals.values()]].reshape(-1, CAMERA_NUMBERS)
    why = (
        f"{labels.where}: {what} numbered by position (img%08d), so no picture of --ffhq has a camera; the density of "
        f"poses counts all {2 * len(own)} cameras, also those of pictures left out or in other splits"
    )
    return Lent(anonymous=np.concatenate([own, mirror(own)]), notes=(*notes, why))


def _side(labels: Cameras, is_mirror: bool) -> Iterator[tuple[str, str]]:
    """Ids and labels of the originals, or of the mirrors."""
    return ((n.id, label) for label in labels.rows if (n := number(label)) and n.is_mirror == is_mirror)
