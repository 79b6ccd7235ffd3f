"""The image_cache reads and decodes a picture once for all samples of a shard, and gives what each would get alone."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from dataset_factories import picture, undecodable
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lpff_shards.errors import BadInput
from lpff_shards.exporters import pictures, sample
from lpff_shards.exporters.sample import ImageCache
from lpff_shards.options.export import PictureOptions
from lpff_shards.schemas.record import Credit, Entry, Record


@dataclass
class CountingBlob:
    """A picture in memory that counts how often it is read."""

    where: str
    data: bytes
    reads: Counter[str] = field(default_factory=Counter)
    stamp: int = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self) -> bytes:
        self.reads[self.where] += 1
        return self.data


def _entries(shown: list[tuple[int, bool]], reads: Counter[str], data: bytes | None = None) -> list[Entry]:
    """Entries of pictures by number, flipped or not; a picture that comes again is a replica."""
    seen: Counter[tuple[int, bool]] = Counter()
    entries = []
    for number, flip in shown:
        blob = CountingBlob(f"{number}.png", data or picture(f"{number}"), reads)
        record = Record("lpff", f"{number}", 0, "eg3d", False, blob, None, None, Credit())
        entries.append(Entry(f"{number}{flip}{seen[number, flip]}", record, flip, seen[number, flip]))
        seen[number, flip] += 1
    return entries


def _all(entries: list[Entry], options: PictureOptions) -> list[bytes]:
    room = ImageCache(entries, options)
    made = [room.stored(entry).picture.data for entry in entries]
    assert not room._kept
    assert room._kept_bytes == 0
    return made


OPTIONS = [PictureOptions(image=kind) for kind in ("keep", "png", "jpeg", "webp", "raw")]
OPTIONS += [PictureOptions(resolution=4), PictureOptions(image="raw", resolution=16)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12), st.sampled_from(OPTIONS))
def test_everyone_gets_what_it_would_get_alone(shown: list[tuple[int, bool]], options: PictureOptions) -> None:
    reads: Counter[str] = Counter()
    together = _all(_entries(shown, reads), options)
    assert all(count == 1 for count in reads.values())
    alone = [ImageCache((entry,), options).stored(entry).picture.data for entry in _entries(shown, Counter())]
    assert together == alone


def test_an_original_its_mirror_and_replicas_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = pictures.decode

    def counting(*args: Any) -> Any:
        decoded.append(1)
        return decode(*args)

    monkeypatch.setattr(pictures, "decode", counting)
    shown = [(1, False), (2, True), (1, True), (1, False), (2, False), (1, True), (1, True)]
    reads: Counter[str] = Counter()
    _all(_entries(shown, reads), PictureOptions(image="jpeg"))
    assert (len(decoded), reads) == (2, {"1.png": 1, "2.png": 1})


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(picture("1")) * 3
    monkeypatch.setattr(sample, "KEPT_BYTES", size)
    shown = [(n, False) for n in range(20)] * 2
    random.Random(0).shuffle(shown)
    reads: Counter[str] = Counter()
    entries = _entries(shown, reads)
    room = ImageCache(entries, PictureOptions())
    for entry in entries:
        assert room.stored(entry).picture.data == picture(entry.record.id)
        assert room._kept_bytes == sum(len(stored.picture.data) for stored in room._kept.values()) <= size
    assert sum(reads.values()) > 20


def test_a_picture_that_does_not_decode_is_left_out_with_its_mirror() -> None:
    # Whole by its chunks, so that it passes through; its pixels are none, so that nothing can be made of it.
    shown = [(1, False), (1, True), (1, False)]
    entries = [replace(entry, must_decode=True) for entry in _entries(shown, Counter(), undecodable())]
    room = ImageCache(entries, PictureOptions())
    for entry in entries:
        with pytest.raises(BadInput, match="does not decode"):
            room.stored(entry)


def test_a_picture_whose_mirror_is_in_another_shard_must_decode() -> None:
    (entry,) = _entries([(1, False)], Counter(), undecodable())
    assert ImageCache((entry,), PictureOptions()).stored(entry).picture.data == undecodable()
    mirrored_elsewhere = replace(entry, must_decode=True)
    with pytest.raises(BadInput, match="does not decode"):
        ImageCache((mirrored_elsewhere,), PictureOptions()).stored(mirrored_elsewhere)
