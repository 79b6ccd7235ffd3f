"""A shard that is another file since the data set was opened is refused; a copy of the same data set is read."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from loading import lpff, write

from lpff_shards import ShardsError, read_manifest
from lpff_shards.loaders import ShardSource, files

CHANGED = r"\.tar has changed since it was opened\. Open the data set again"
WAYS: dict[str, Callable[[ShardSource, int], Any]] = {
    "one": lambda source, number: source[number],
    "batch": lambda source, number: source.batch([0, number]),
    "several": lambda source, number: source.__getitems__([number]),
    "all": lambda source, _: list(source),
    "stored": lambda source, number: list(source.stored([number])),
    "column": lambda source, _: source.column("key"),
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two exports of the same raw pictures, whose shards have the same names and sizes and another order."""
    root = tmp_path_factory.mktemp("exports")
    sources = lpff(root, 12)
    one, other = (write(root / name, "wds", sources, 3, image="raw", shuffle=name == "a") for name in "ab")
    assert _sizes(one) == _sizes(other)
    return one, other


@pytest.fixture
def out(exports: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the first of them, without its ledger."""
    shutil.copytree(exports[0], tmp_path / "out")
    (tmp_path / "out/samples.sqlite").unlink()
    return tmp_path / "out"


def _sizes(out: Path) -> dict[str, int]:
    return {shard.file: shard.bytes for shard in read_manifest(out).shards}


def _shards(out: Path) -> list[Path]:
    return [out / name for name in _sizes(out)]


def _overwrite(out: Path, other: Path, keep_times: bool = False) -> None:
    """Puts another export's files in the place of one's, as an export does: each one whole."""
    for file in (file for file in other.iterdir() if file.is_file()):
        times = (out / file.name).stat() if keep_times and (out / file.name).exists() else None
        shutil.copy(file, out / "new")
        if times:
            os.utime(out / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
        (out / "new").replace(out / file.name)


@pytest.mark.parametrize("way", WAYS)
def test_an_export_that_is_overwritten_while_it_is_read_is_refused(
    exports: tuple[Path, Path], out: Path, way: str
) -> None:
    source = ShardSource(out)
    source[0]
    _overwrite(out, exports[1])
    with pytest.raises(ShardsError, match=CHANGED):
        WAYS[way](source, 11)
    assert len(list(ShardSource(out))) == 12


@pytest.mark.parametrize("way", WAYS)
def test_a_shard_that_is_written_to_while_it_is_open_is_refused(
    exports: tuple[Path, Path], out: Path, way: str
) -> None:
    source = ShardSource(out)
    list(source)
    _shards(out)[2].write_bytes(_shards(exports[1])[2].read_bytes())
    with pytest.raises(ShardsError, match=CHANGED):
        WAYS[way](source, 11)


def test_processes_that_open_it_later_compare_with_what_the_first_one_saw(
    exports: tuple[Path, Path], out: Path
) -> None:
    pickled = pickle.dumps(ShardSource(out))
    assert len(list(pickle.loads(pickled))) == 12
    _overwrite(out, exports[1])
    with pytest.raises(ShardsError, match=CHANGED):
        pickle.loads(pickled)[0]


def test_another_export_with_the_same_times_is_refused(exports: tuple[Path, Path], out: Path) -> None:
    source = ShardSource(out)
    _overwrite(out, exports[1], keep_times=True)
    with pytest.raises(ShardsError, match=CHANGED):
        source[0]
    (out / "manifest.json").unlink()
    with pytest.raises(ShardsError, match=r"has no manifest\.json"):
        source[0]


def _digest(source: ShardSource) -> bytes:
    return source.batch(range(12))["image"].tobytes()


def test_a_copy_that_has_the_same_times_is_read(out: Path) -> None:
    source = ShardSource(out)
    expected = _digest(ShardSource(out))
    out.rename(out.with_name("before"))
    shutil.copytree(out.with_name("before"), out)
    assert _digest(source) == expected


def test_inodes_that_change_at_each_look_are_no_change(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, fstat = iter(range(10**6)), os.fstat

    def unstable(fd: int) -> Any:
        found = fstat(fd)
        return SimpleNamespace(st_size=found.st_size, st_mtime_ns=found.st_mtime_ns, st_ino=next(numbers))

    source, expected = ShardSource(out), _digest(ShardSource(out))
    monkeypatch.setattr(files.os, "fstat", unstable)
    assert _digest(source) == _digest(source) == expected


def test_another_machine_reads_its_own_copy_of_the_same_export(
    exports: tuple[Path, Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ShardSource(out)
    expected = _digest(source)
    pickled = pickle.dumps(source)
    for file in _shards(out):
        os.utime(file, ns=(0, 0))
    with pytest.raises(ShardsError, match=CHANGED):
        pickle.loads(pickled)[0]
    monkeypatch.setattr(files.platform, "node", lambda: "another")
    other = pickle.loads(pickled)
    assert _digest(other) == expected
    _overwrite(out, exports[1])
    with pytest.raises(ShardsError, match=CHANGED):
        pickle.loads(pickled)[0]


@pytest.fixture(params=["pipe", "device", "folder"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """What is no regular file."""
    path = tmp_path / "odd"
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[request.param](path)
    return path


def test_what_is_no_regular_file_is_refused_and_not_waited_for(out: Path, odd: Path) -> None:
    source = ShardSource(out)
    shard = _shards(out)[1]
    shard.unlink()
    odd.rename(shard)
    with pytest.raises(ShardsError, match=f"{shard.name} is not a regular file"):
        ShardSource(out)
    with pytest.raises(ShardsError, match=CHANGED):
        source.batch(np.arange(12))
