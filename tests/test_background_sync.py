"""Finished shards go to the disk in the background, and nothing that fails there is lost."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from lpff_shards import ExportOptions, RunOptions, ShardOptions, SourceOptions, export
from lpff_shards.errors import ExportFailed
from lpff_shards.exporters import shard
from lpff_shards.storage import local
from lpff_shards.storage.local import BackgroundSync, to_disk

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _broken(path: Path) -> None:
    """Fails in the background alone."""
    if threading.current_thread() is not threading.main_thread():
        raise NO_SPACE
    to_disk(path)


def test_leaving_waits_for_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(local, "to_disk", lambda path: synced.append(path.name))
    with BackgroundSync() as disk:
        for name in "abc":
            disk.submit(tmp_path / name)
    assert synced == ["a", "b", "c"]


def test_a_file_that_cannot_be_synced_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), BackgroundSync() as disk:
        disk.submit(tmp_path / "missing")


def test_what_failed_before_is_what_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyError), BackgroundSync() as disk:
        disk.submit(tmp_path / "missing")
        raise KeyError


def test_a_growing_file_is_not_synced_again_while_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    goes_on = threading.Event()

    def slow(path: Path) -> None:
        goes_on.wait(30)
        synced.append(path.name)

    monkeypatch.setattr(local, "to_disk", slow)
    with BackgroundSync() as disk:
        for _ in range(3):
            disk.keep_up(tmp_path / "a")
        goes_on.set()
        disk.submit(tmp_path / "b")
    assert synced == ["a", "b"]


def test_a_shard_settles_while_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(BackgroundSync, "submit", lambda _, path: synced.append(path.name))
    monkeypatch.setattr(shard, "BLOCK", 1)
    monkeypatch.setattr(local, "STRIDE", 1)
    options = ExportOptions(
        format="wds", out=str(tmp_path / "out"), sources=SourceOptions(demo=4), run=RunOptions(workers=1)
    )
    name = export(options).shards[0].file
    assert next(one for one in synced if one.startswith(name)) > name, "before it has its name"
    assert synced[-1] == name


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fails_in_the_background_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    options = ExportOptions(
        format="wds",
        out=str(tmp_path / "out"),
        sources=SourceOptions(demo=4),
        shards=ShardOptions(shards=4),
        run=RunOptions(workers=workers),
    )
    monkeypatch.setattr(local, "to_disk", _broken)
    with pytest.raises(ExportFailed, match=r"cannot be written: .*No space left"):
        export(options)
    monkeypatch.undo()
    assert not (tmp_path / "out/manifest.json").exists()
    export(options)
