"""EG3D's dataset.json of FFHQ: its location, and each picture's camera, index and FFHQ id."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import BrokenBlob
from lpff_shards.sources.io.json_files import Cameras, decode_file, parse_cameras
from lpff_shards.sources.io.tree import Tree, blob_at, subs
from lpff_shards.storage.path import parents

_NAME = re.compile(r"(?:.*[/\\])?(?:([0-9]{5})(_mirror)?|img([0-9]{8}))(?:\.[^./\\]*)?")


class Number(NamedTuple):  # hundreds of thousands are sorted, and tuples compare in C
    """A picture's position in the published order and its id, read from its name.

    Attributes:
        photo: index of the photo in the published order.
        is_mirror: whether it is the mirror of that photo's picture.
        id: FFHQ's five digits, or the original's name if it contains only an index (img%08d).
        has_ffhq_id: whether `id` is FFHQ's own, as in its metadata.
    """

    photo: int
    is_mirror: bool
    id: str
    has_ffhq_id: bool

    @property
    def key(self) -> tuple[str, bool]:
        return self.id, self.is_mirror

    @property
    def position(self) -> int:
        """The number of an img%08d name."""
        return 2 * self.photo + self.is_mirror


def number(name: str) -> Number | None:
    """Parse a picture's name: 00000.png, 00000_mirror.png, or img00000000.png (2k an original, 2k+1 its mirror)."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    id, mirror, index = match.groups()
    if id is not None:
        return Number(int(id), mirror is not None, id, True)
    photo, odd = divmod(int(index), 2)
    return Number(photo, bool(odd), f"img{2 * photo:08d}", False)


Named = tuple[Number, str, Blob]


def numbered(tree: Tree) -> tuple[list[Named], list[str]]:
    """List the pictures in a tree and in its folders of thousands, in the published order, with relative names.

    The second list contains the names that FFHQ does not use.
    """
    named: list[Named] = []
    unknown: list[str] = []
    folders = subs(tree, [folder for folder in tree.folders() if folder.isdigit()])
    for prefix, folder in chain([("", tree)], ((f"{name}/", folder) for name, folder in folders)):
        for base, blob in folder.files().pictures().pairs():
            name = prefix + base
            n = number(name)
            if n is None:
                unknown.append(name)
            else:
                named.append((n, name, blob))
    return sorted(named, key=lambda item: item[:2]), unknown


LABELS = ("dataset.json", "dataset-ffhq.json")
ENOUGH = 0.999
"""Minimum share of the cameras that the file with FFHQ ids must contain."""


Places = tuple[Mapping[tuple[str, bool], int], int]
"""Each picture's index in EG3D's FFHQ and its replica file, by (id, is_mirror): 2k an original, 2k + 1 its mirror; and
the number of pictures in which the indices were counted, 0 where the names contain them."""


class CameraLabels(Cameras):
    """Cameras of EG3D's dataset.json, by label."""

    def chosen(self, names: Mapping[str, str]) -> CameraLabels:
        """Return some cameras under other names; `names` has the label of each."""
        rows = {name: self.rows[label] for name, label in names.items()}
        faults = {name: self.faults[label] for name, label in names.items() if label in self.faults}
        return replace(self, rows=rows, faults=faults)

    @cached_property
    def named(self) -> Mapping[str, Number]:
        """Each label that is a picture's name, parsed."""
        return {label: n for label in self.rows if (n := number(label))}

    @property
    def has_ids(self) -> bool:
        """Whether pictures are named by FFHQ id (00000.png), not by position (img00000000.png)."""
        return any(n.has_ffhq_id for n in self.named.values())

    def places(self) -> Places:
        """Return the indices of the pictures: read from img%08d names, counted for others.

        EG3D's trainer counts pictures in the order of their names.
        """
        if not self.has_ids:
            return {n.key: n.position for n in self.named.values()}, 0
        # Two labels with one number are one picture.
        distinct = dict.fromkeys(n.key for n in sorted(self.named.values()))
        return dict(zip(distinct, range(len(distinct)), strict=True)), len(distinct)


class _LabelFile(Struct):
    labels: list[tuple[str, msgspec.Raw]] | None


def read_labels(blob: Blob) -> CameraLabels:
    """Read cameras by picture name from EG3D's dataset.json; a repeated name is a fault.

    Raises:
        ShardsError: the file has another shape, or no labels.
    """
    decode = msgspec.json.Decoder(_LabelFile).decode
    labels = decode_file(blob, decode, 'EG3D\'s {"labels": [[name, 25 numbers], ...]}').labels
    if labels is None:
        raise ShardsError(f"{blob.where} has no labels", "Give EG3D's dataset.json with cameras as --ffhq-cameras")
    names = [name for name, _ in labels]
    twice = (name for name, times in Counter(names).items() if times > 1)
    return CameraLabels(blob.where, *parse_cameras(names, (raw for _, raw in labels), twice))


def labels_inside(*trees: Tree) -> list[Blob]:
    """Return the label files directly in folders, each once."""
    found = [tree.files()[name] for tree in trees for name in LABELS if name in tree.files()]
    return list({blob.where: blob for blob in found}.values())


def labels_near(*given: str | None) -> Iterator[Blob]:
    """Yield the label files next to these paths or URIs; skip unreadable folders."""
    for folder in dict.fromkeys(folder for path in given if path for folder in parents(path, 1)):
        for name in LABELS:
            try:
                blob = blob_at(folder / name)
            except OSError:
                continue
            if blob is not None and not isinstance(blob, BrokenBlob):
                yield blob


def first_with_ids(files: Iterable[Blob]) -> CameraLabels | None:
    """Return the first file that names pictures by FFHQ id; ignore other files, which the user did not give."""
    for blob in files:
        try:
            labels = read_labels(blob)
        except ShardsError:
            continue
        if labels.has_ids:
            return labels
    return None


def by_picture(labels: CameraLabels, named: Sequence[Named]) -> CameraLabels:
    """Return the cameras by the pictures' own names: by exact path, else by the number in the name.

    Folders, suffix and the kind of slash may then differ. A number that two labels share is a fault of the picture.
    """
    lacking = [(n, name) for n, name, _ in named if name not in labels.rows]
    if not lacking:
        return labels
    of_number: dict[tuple[str, bool], list[str]] = {}
    for label, n in labels.named.items():
        of_number.setdefault(n.key, []).append(label)
    pictures = Counter(n.key for n, _, _ in named)
    rows, faults = dict(labels.rows), dict(labels.faults)
    for n, name in lacking:
        found = of_number.get(n.key, [])
        if len(found) > 1:
            faults[name] = f"{len(found)} labels have the picture's number, such as {found[0]} and {found[1]}"
        elif found and pictures[n.key] == 1:
            rows[name] = rows.pop(found[0])
            if found[0] in faults:
                faults[name] = faults.pop(found[0])
    return replace(labels, rows=rows, faults=faults)


@dataclass(frozen=True)
class MatchedIds:
    """FFHQ's numbers of labels that are named by position.

    Attributes:
        ids: the matched cameras, by FFHQ id.
        numbers: FFHQ's number of each label.
        unmatched, ties: labels whose camera is not in `ids`, or belongs to several pictures.
        share: of the labels whose camera belongs to one picture, 0 to 1.
    """

    ids: CameraLabels
    numbers: Mapping[str, Number]
    unmatched: int
    ties: int
    share: float

    @property
    def is_enough(self) -> bool:
        """Whether the two files are of one set."""
        return self.share >= ENOUGH

    def figure(self) -> str:
        """Return how well the files match, for errors and notes."""
        return f"{self.ids.where} has the cameras of {self.share:.1%} of the pictures, and FFHQ's ids need {ENOUGH:.1%}"

    def note(self) -> str:
        if not self.is_enough:
            return f"{self.figure()}: it is ignored"
        note = f"{self.ids.where}: its cameras give the FFHQ ids of {len(self.numbers)} pictures"
        if not self.unmatched and not self.ties:
            return note
        return f"{note}; {self.unmatched} cameras are not in it, {self.ties} belong to several pictures"


def match_by_cameras(own: CameraLabels, names: Sequence[str], ids: CameraLabels) -> MatchedIds:
    """Match labels to FFHQ's numbers by cameras that are equal in float32: all published poses are distinct.

    The camera of a picture or of its mirror is enough for both.

    Args:
        own: cameras by names of position.
        names: of these, the ones to match.
        ids: cameras by FFHQ id.
    """
    labels = [name for name in names if name in own.rows and name not in own.faults]
    known = {name: n for name, n in ids.named.items() if n.has_ffhq_id and name not in ids.faults}
    both = [_bytes(cameras, some) for cameras, some in ((own, labels), (ids, list(known)))]
    distinct, group = np.unique(np.concatenate(both), return_inverse=True)
    group_labels, group_known = np.split(group.reshape(-1), [len(labels)])
    count_labels, count_known = (np.bincount(g, minlength=len(distinct)) for g in (group_labels, group_known))
    of_group = np.full(len(distinct), -1)
    of_group[group_known] = np.arange(len(known))
    of_group[(count_labels != 1) | (count_known != 1)] = -1
    rows = of_group[group_labels]
    unmatched = int((count_known[group_labels] == 0).sum())
    numbers = list(known.values())
    found = {name: numbers[row] for name, row in zip(labels, rows.tolist(), strict=True) if row >= 0}
    ties = len(labels) - unmatched - len(found)
    return MatchedIds(ids, _by_pairs(names, found), unmatched, ties, len(found) / max(len(labels), 1))


def _bytes(cameras: CameraLabels, names: Sequence[str]) -> NDArray[np.void]:
    """Return each camera as one comparable value: void [n]."""
    # Mirroring makes minus zero: adding zero removes the sign.
    numbers = cameras.numbers[cameras.find(names)].astype(np.float32) + np.float32(0)
    return np.ascontiguousarray(numbers).view(np.dtype((np.void, 4 * CAMERA_NUMBERS))).reshape(-1)


def _by_pairs(names: Sequence[str], found: Mapping[str, Number]) -> dict[str, Number]:
    """Return the numbers of both pictures of a pair, if one is known or the two agree."""
    pairs: dict[str, list[tuple[bool, str]]] = {}
    for name in names:
        if n := number(name):
            pairs.setdefault(n.id, []).append((n.is_mirror, name))
    numbers: dict[str, Number] = {}
    for pair in pairs.values():
        # Positions of originals and mirrors may be swapped: the match decides.
        matches = {(n.photo, n.id, n.is_mirror != is_mirror) for is_mirror, name in pair if (n := found.get(name))}
        if len(matches) == 1:
            photo, id, swapped = matches.pop()
            numbers |= {name: Number(photo, is_mirror != swapped, id, True) for is_mirror, name in pair}
    return numbers
