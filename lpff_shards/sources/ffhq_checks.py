"""Check by pairs, cameras and sizes that pictures are FFHQ's, in the requested alignment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.errors import ShardsError
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, decode, inspect
from lpff_shards.formats.pictures.header import unstorable
from lpff_shards.schemas.archive import SAMPLES
from lpff_shards.schemas.camera import TOLERANCE, mirror
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.ffhq_labels import CameraLabels, Named
from lpff_shards.sources.io.blobs import MAX_JSON_BYTES
from lpff_shards.sources.io.files import sizes_of, spread
from lpff_shards.sources.io.tree import Tree, read_whole

STYLEGAN_SIDE = 1024
"""Width of FFHQ's own pictures in pixels."""
SAMPLED = 8
"""Number of pairs or pictures whose sizes are checked; of the first and the last pair the pixels are, too."""
UNLIKE = 8.0
"""Mean gray difference (0 to 255) from which two pictures are not mirror images; two faces differ by about 60."""
_OWN_FIELDS = re.compile(rb'"(dataset|alignment)":"(\w*)"')

ONLY_FFHQ = "Only FFHQ can be given as --ffhq: give FFHQ's own pictures"
TO_STYLEGAN = "Give EG3D's FFHQ (00000.png, 00000_mirror.png, ...), or use --alignment stylegan"
_DOUBT = "if this is StyleGAN's FFHQ, all cameras are wrong, and --alignment stylegan is right"
TO_EG3D = "Give FFHQ's own images1024x1024, or use --alignment eg3d"


def refuse_other_export(given: str, tree: Tree, alignment: str) -> bool:
    """Return whether lpff-shards wrote the zip.

    Raises:
        ShardsError: it contains pictures of other data sets, or of another alignment.
    """
    files = tree.files()
    data = read_whole(files[SAMPLES], MAX_JSON_BYTES) if SAMPLES in files else b""
    # Quotes in strings are escaped, so only fields match.
    found = {match.groups() for match in _OWN_FIELDS.finditer(data)}
    sets, alignments = ({value.decode() for name, value in found if name == own} for own in (b"dataset", b"alignment"))
    if not sets or not alignments:
        return False
    if others := sorted(sets - {"ffhq"}):
        message = f"--ffhq {given} is a zip written by lpff-shards with pictures of {', '.join(others)}"
        raise ShardsError(message, "Give FFHQ's own pictures, and the other data sets separately")
    if wrong := sorted(alignments - {alignment}):
        raise ShardsError(f"--ffhq {given} has {wrong[0]} pictures, not {alignment}", f"Use --alignment {wrong[0]}")
    return True


def check_pairs(given: str, named: Sequence[Named], labels: CameraLabels) -> list[str]:
    """Refuse EG3D-aligned pictures that are not pairs of a picture and its mirror.

    Checks the cameras of every pair, the sizes of some, and the pixels of two. A picture named by position (img%08d)
    requires its mirror, or at least the mirror's label; pictures named by FFHQ id do not.

    Args:
        labels: cameras by the pictures' names.

    Returns:
        The note about doubtful pairs, if there are any.
    """
    followed = (a.id == b.id and not a.is_mirror and b.is_mirror for (a, _, _), (b, _, _) in pairwise(named))
    # Rows of originals that their mirror follows.
    firsts = np.flatnonzero(np.fromiter(followed, bool, max(len(named) - 1, 0)))
    if not len(firsts):
        own_download = any("/" in name for _, name, _ in named) or STYLEGAN_SIDE in _sizes([named[0][2]])[0]
        if own_download or not all(n.has_ffhq_id for n, _, _ in named):
            raise ShardsError(
                f"--ffhq {given} has no pair of a picture and its mirror, as EG3D's FFHQ has", TO_STYLEGAN
            )
        refuse_oblong(given, named, "EG3D")
        labeled = any(n.is_mirror for n in labels.named.values())
        return [f"--ffhq {given}: the mirrors in {labels.where} have no pictures: {_DOUBT}"] if labeled else []
    names = [name for _, name, _ in named]
    originals, mirrors = ([names[i] for i in (firsts + step).tolist()] for step in (0, 1))
    refuse_unmirrored(f"--ffhq {given}", originals, mirrors, labels)
    refuse_unmirrored(f"--ffhq {given}", *_lone(given, named, firsts, labels), labels)
    some = firsts[spread(len(firsts), SAMPLED)]
    sizes = _sizes([named[i][2] for first in some.tolist() for i in (first, first + 1)])
    for first, own, mirrored in zip(some.tolist(), sizes[::2], sizes[1::2], strict=True):
        _refuse_oblong(given, names[first], own, "EG3D")
        _refuse_oblong(given, names[first + 1], mirrored, "EG3D")
        if own[0] and mirrored[0] and own != mirrored:
            pair = " and ".join(f"{names[first + i]} ({_shape(size)})" for i, size in enumerate((own, mirrored)))
            raise ShardsError(f"--ffhq {given}: {pair} are no mirrored pair, so this is not FFHQ", ONLY_FFHQ)
    for first, size in {int(some[i]): sizes[2 * i] for i in (0, -1)}.items():
        if not _mirror_one_another(named[first][2], named[first + 1][2]):
            text = f"--ffhq {given}: {names[first]} and {names[first + 1]} are not mirror images of each other"
            if size == (STYLEGAN_SIDE, STYLEGAN_SIDE):
                raise ShardsError(f"{text}, so this is StyleGAN's FFHQ", TO_STYLEGAN)
            return [f"{text}: {_DOUBT}"]
    return []


def _mirror_one_another(original: Blob, mirrored: Blob) -> bool:
    """Return whether two pictures are mirror images; true if one cannot be read."""
    try:
        thumbs = [_thumb(read_whole(blob)) for blob in (original, mirrored)]
    except (ShardsError, FormatError, PictureError):
        return True
    return float(np.abs(thumbs[0][:, ::-1] - thumbs[1]).mean()) < UNLIKE


def _thumb(data: bytes) -> NDArray[np.float64]:
    """Return a picture's gray, averaged to [16, 16], 0 to 255."""
    header = inspect(data)
    if reason := unstorable(header, decoded=True):
        raise PictureError(reason)
    gray = Image.fromarray(decode(data, header)).convert("L").resize((16, 16), Image.Resampling.BOX)
    return np.asarray(gray, np.float64)


def refuse_unmirrored(where: str, originals: Sequence[str], mirrors: Sequence[str], labels: CameraLabels) -> None:
    """Refuse pairs of labels whose cameras are not mirrors of each other; ignore faulty and missing cameras."""
    faulty = [labels.rows[name] for name in labels.faults if name in labels.rows]
    rows = [labels.find(names) for names in (originals, mirrors)]
    sound = [(found >= 0) & ~np.isin(found, faulty) for found in rows]
    at = np.flatnonzero(sound[0] & sound[1])
    off = np.abs(mirror(labels.numbers[rows[0][at]]) - labels.numbers[rows[1][at]]).max(axis=1, initial=0.0)
    wrong = at[off > TOLERANCE]
    if len(wrong):
        pair = f"{originals[wrong[0]]} and {mirrors[wrong[0]]}"
        raise ShardsError(f"{where}: the cameras of {pair} are not mirrored, so this is not FFHQ", ONLY_FFHQ)


def refuse_oblong(given: str, named: Sequence[Named], trainer: str) -> None:
    """Refuse pictures that are not square, as aligned ones are; checks a sample of them."""
    some = [named[i] for i in spread(len(named), SAMPLED).tolist()]
    for (_, name, _), size in zip(some, _sizes([blob for _, _, blob in some]), strict=True):
        _refuse_oblong(given, name, size, trainer)


def refuse_aligned(given: str, named: Sequence[Named]) -> None:
    """Refuse pictures of StyleGAN's FFHQ in place of the photos in the wild, by the sizes of a sample of them."""
    some = [named[i] for i in spread(len(named), SAMPLED).tolist()]
    sizes = _sizes([blob for _, _, blob in some])
    if len(sizes) > 1 and all(size == (STYLEGAN_SIDE, STYLEGAN_SIDE) for size in sizes):
        raise ShardsError(
            f"--ffhq {given} is StyleGAN-aligned: its pictures are {STYLEGAN_SIDE}x{STYLEGAN_SIDE}",
            "Give FFHQ's in-the-wild-images, or --alignment stylegan without --crop",
        )


def _refuse_oblong(given: str, name: str, size: tuple[int, int], trainer: str) -> None:
    if size[0] != size[1]:
        raise ShardsError(
            f"--ffhq {given}: {name} is {_shape(size)} pixels, and {trainer}'s FFHQ is square",
            "Give FFHQ's aligned pictures",
        )


def _lone(
    given: str, named: Sequence[Named], firsts: NDArray[np.int64], labels: CameraLabels
) -> tuple[list[str], list[str]]:
    """Return the names, by position, of originals or mirrors without the other, and the labels of the others."""
    paired = np.zeros(len(named), bool)
    paired[firsts] = paired[firsts + 1] = True
    lone = [named[i][:2] for i in np.flatnonzero(~paired).tolist() if not named[i][0].has_ffhq_id]
    # A duplicate of a paired picture is set aside later.
    keys = {n.key for n, _, _ in named} if lone else set()
    lone = [(n, name) for n, name in lone if (n.id, not n.is_mirror) not in keys and name in labels.rows]
    if not lone:
        return [], []
    of_number = {n.key: label for label, n in labels.named.items()}
    for n, name in lone:
        if (n.id, not n.is_mirror) not in of_number:
            raise ShardsError(f"--ffhq {given}: {name} has no mirror, so this is not FFHQ", ONLY_FFHQ)
    others = [of_number[n.id, not n.is_mirror] for n, _ in lone]
    return [name for _, name in lone], others


def _sizes(blobs: Sequence[Blob]) -> list[tuple[int, int]]:
    return [(width, height) for width, height in sizes_of(blobs).tolist()]


def _shape(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
