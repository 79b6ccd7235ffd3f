"""The system may read and write fewer bytes than it was asked to: exports and loaders go on until they have all."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import NAMES, assert_batch, lpff, truths, write
from running import contents
from samples import LAYOUTS, Gathered, sample, written

from lpff_shards.formats.join_zip import Contents, join_zip
from lpff_shards.loaders import ShardSource

pread, preadv, write_, writev = os.pread, os.preadv, os.write, os.writev
MOST = 1000


def _half(size: int) -> int:
    return size if size < 2 else min(size // 2, MOST)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Half of what was asked for, a thousand bytes at most, by every call that reads or writes at all."""

    def first(parts: Sequence[Any]) -> Any:
        part = memoryview(next(part for part in parts if len(part)))
        return part[: _half(len(part))]

    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, _half(size), at))
    monkeypatch.setattr(os, "preadv", lambda fd, parts, at: preadv(fd, [first(parts)], at))
    monkeypatch.setattr(os, "write", lambda fd, data: write_(fd, memoryview(data)[: _half(len(data))]))
    monkeypatch.setattr(os, "writev", lambda fd, parts: writev(fd, [first(parts)]))
    return monkeypatch


def test_a_zip_is_put_together_of_short_reads(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    sources = lpff(tmp_path, 3, size=32, mirror=True)
    expected = contents(write(tmp_path / "whole/out", "zip", sources, None, shuffle=None))  # type: ignore[arg-type]
    request.getfixturevalue("short")
    found = contents(write(tmp_path / "short/out", "zip", sources, None, shuffle=None))  # type: ignore[arg-type]
    assert found == expected


@pytest.mark.parametrize("image", ["keep", "raw"])
@pytest.mark.parametrize("format", ["wds", "tfrecord"])
def test_a_source_reads_on(tmp_path: Path, format: str, image: str, request: pytest.FixtureRequest) -> None:
    out = write(tmp_path / "out", format, lpff(tmp_path, 4, size=64), image=image)
    (next(out.rglob("*.idx"))).unlink()
    expected = truths(out)
    request.getfixturevalue("short")
    source = ShardSource(out)
    assert_batch(source.batch([3, 0, 1], NAMES), expected, [3, 0, 1])
    for found, truth in zip(source, expected, strict=True):
        assert np.array_equal(found["image"], truth.pixels)
    assert all(len(stored) > MOST for stored in source.stored(range(4)))


def test_a_part_that_ends_early_is_an_error_and_not_a_short_copy(tmp_path: Path) -> None:
    layout = LAYOUTS["plain"]
    part, told = written("zip", layout, [sample(layout, 0)])
    contents_ = Contents(["a"], np.zeros(1), {}, layout.camera)
    with pytest.raises(OSError, match="ends early"):
        join_zip("x.zip", [(io.BytesIO(part[:-1]), told)], contents_, Gathered(str(tmp_path)))
