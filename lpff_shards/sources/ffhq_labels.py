"""EG3D's dataset.json of FFHQ: where it lies, the camera of each picture, and each picture's index there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
from msgspec import Struct

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.cameras import Cameras, parse_cameras
from lpff_shards.sources.ffhq_files import Named, Number, number
from lpff_shards.sources.io.blobs import BrokenBlob
from lpff_shards.sources.io.bucket_tree import blob_at
from lpff_shards.sources.io.json_files import decode_file
from lpff_shards.sources.io.tree import Tree
from lpff_shards.storage.path import above

LABELS = ("dataset.json", "dataset-ffhq.json")


class _Labels(Struct):
    labels: list[tuple[str, msgspec.Raw]] | None


def read_labels(blob: Blob) -> Cameras:
    """Cameras by picture name out of EG3D's dataset.json.

    Raises:
        ShardsError: the file is not of that shape, or has no labels.
    """
    labels = decode_file(blob, _Labels, 'EG3D\'s {"labels": [[name, 25 numbers], ...]}').labels
    if labels is None:
        raise ShardsError(f"{blob.where} has no labels", "Give EG3D's dataset.json with cameras by --ffhq-cameras")
    return parse_cameras(blob.where, labels)


def labels_inside(*trees: Tree) -> list[Blob]:
    """The label files directly in folders, each once."""
    found = [tree.files()[name] for tree in trees for name in LABELS if name in tree.files()]
    return list({blob.where: blob for blob in found}.values())


def labels_beside(*given: str | None) -> Iterator[Blob]:
    """The label files in the folders that hold these paths or URIs; a folder that cannot be read has none."""
    for folder in dict.fromkeys(folder for path in given if path for folder in above(path, 1)):
        for name in LABELS:
            try:
                blob = blob_at(folder / name)
            except OSError:
                continue
            if blob is not None and not isinstance(blob, BrokenBlob):
                yield blob


def first_with_ids(files: Iterable[Blob]) -> Cameras | None:
    """The first file that names pictures by FFHQ id; what is no label file is passed over, since nobody named it."""
    for blob in files:
        try:
            labels = read_labels(blob)
        except ShardsError:
            continue
        if has_ids(labels):
            return labels
    return None


def has_ids(labels: Cameras) -> bool:
    """Whether a label file names pictures by FFHQ id (00000.png), not by position (img00000000.png)."""
    return any(n and n.has_ffhq_id for n in map(number, labels.rows))


def by_picture(labels: Cameras, named: Sequence[Named]) -> Cameras:
    """The cameras by the pictures' own names: by exact path, else by the number in the name.

    Folders, suffix and the kind of slash may then differ. A number that two labels share tells no camera: it is a
    fault of the picture.
    """
    lacking = [(n, name) for n, name, _ in named if name not in labels.rows]
    if not lacking:
        return labels
    of_number: dict[tuple[str, bool], list[str]] = {}
    for label, n in zip(labels.rows, map(number, labels.rows), strict=True):
        if n:
            of_number.setdefault((n.id, n.is_mirror), []).append(label)
    pictures = Counter((n.id, n.is_mirror) for n, _, _ in named)
    rows, faults = dict(labels.rows), dict(labels.faults)
    for n, name in lacking:
        found = of_number.get((n.id, n.is_mirror), [])
        if len(found) > 1:
            faults[name] = f"{len(found)} labels have the picture's number, such as {found[0]} and {found[1]}"
        elif found and pictures[n.id, n.is_mirror] == 1:
            rows[name] = rows.pop(found[0])
            if found[0] in faults:
                faults[name] = faults.pop(found[0])
    return replace(labels, rows=rows, faults=faults)


def chosen(labels: Cameras, names: Mapping[str, str]) -> Cameras:
    """Some cameras under other names.

    Args:
        names: the label of each new name.
    """
    rows = {name: labels.rows[label] for name, label in names.items()}
    faults = {name: labels.faults[label] for name, label in names.items() if label in labels.faults}
    return replace(labels, rows=rows, faults=faults)


@dataclass(frozen=True)
class Places:
    """Each picture's index in EG3D's FFHQ, by which its replica file counts: 2k an original, 2k + 1 its mirror.

    Attributes:
        rows: (id, is_mirror) to index.
        of: number of pictures that the indices were counted in, 0 where the names themselves tell them.
    """

    rows: Mapping[tuple[str, bool], int]
    of: int = 0

    def get(self, n: Number) -> int:
        """The picture's index, -1 where it has none."""
        return self.rows.get((n.id, n.is_mirror), -1)


NO_PLACES = Places({})


def places(labels: Mapping[str, int], named: Sequence[Named] = ()) -> Places:
    """Indices of the pictures that EG3D's dataset.json names: told by img%08d names, counted for others.

    EG3D's trainer counts its pictures in the order of their names.

    Args:
        labels: by name.
        named: pictures; where they are just those of the labels, their numbers are not read again.
    """
    if len(named) == len(labels) and all(name in labels for _, name, _ in named):
        numbers = [n for n, _, _ in named]
    else:
        numbers = sorted(n for n in map(number, labels) if n)
    if not any(n.has_ffhq_id for n in numbers):
        return Places({(n.id, n.is_mirror): n.position for n in numbers})
    # A number that two labels have is one picture's.
    distinct = dict.fromkeys((id, is_mirror) for _, is_mirror, id, _ in numbers)
    return Places(dict(zip(distinct, range(len(distinct)), strict=True)), len(distinct))
