"""What is on disk in each state of an export, by the calls that bring it there: a power cut may take all else.

States: an export owns a folder (plan.json is on disk); shards are missing (no manifest is); it is finished (all is).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lpff_shards import (
    ExportOptions,
    MixOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    SourceOptions,
    export,
    index_export,
)

FORMATS = ("wds", "tfrecord", "zip", "parquet", "arrayrecord")


class Disk:
    """Watches which files and folders are brought to the disk, and what the disk holds when a file gets its name."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, durable: bool = False) -> None:
        """Watch a folder; `durable`: what it holds is on disk, else that is not known."""
        self.root = root
        there = (root, *root.rglob("*")) if durable else ()
        self.synced: dict[int, object] = {path.stat().st_ino: _state(path) for path in there}
        self.without_manifest = not durable
        self.finished = 0
        self._fsync, self._rename = os.fsync, os.rename
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "rename", self.rename)

    def fsync(self, fd: int) -> None:
        self._fsync(fd)
        path = Path(f"/proc/self/fd/{fd}").readlink()
        self.synced[os.fstat(fd).st_ino] = _state(path)
        if path == self.root:
            self.without_manifest = not (self.root / "manifest.json").exists()

    def rename(self, source: os.PathLike[str], target: os.PathLike[str], **more: int) -> None:
        name = Path(target).name
        if name == "manifest.json":
            self.assert_all_on_disk(*([name] if Path(target).exists() else []))
            self.finished += 1
        elif name.endswith((".tar", ".zip", ".part")) or ".tfrecord-" in name:
            assert self.without_manifest, f"{name} is replaced, and a power cut may bring back the manifest"
        self._rename(source, target, **more)

    def assert_all_on_disk(self, *but: str) -> None:
        for path in (self.root, *self.root.rglob("*")):
            if path.name in ("lock", "partial", *but) or path.parent.name == "partial":
                continue
            found = path.stat()
            known = self.synced.get(found.st_ino)
            if stat.S_ISDIR(found.st_mode):
                assert known is not None and _state(path).items() <= known.items(), f"{path} has names not on disk"
            else:
                assert known == _state(path), f"{path} is not on disk"


def _state(path: Path) -> dict[str, int] | tuple[int, int]:
    if path.is_dir():
        return {one.name: one.stat().st_ino for one in path.iterdir() if one.name not in ("lock", "partial")}
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _options(out: Path, format: str, **changes: object) -> ExportOptions:
    given = {
        "format": format,
        "out": str(out),
        "sources": SourceOptions(demo=4),
        "picture": PictureOptions(resolution=8),
        "shards": ShardOptions() if format == "zip" else ShardOptions(shards=2),
        "run": RunOptions(workers=1, checksum="sha256"),
    }
    return ExportOptions(**(given | changes))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "new/folders/out"


@pytest.mark.parametrize("format", FORMATS)
def test_all_is_on_disk_before_the_manifest_is_there(out: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(out, monkeypatch)
    export(_options(out, format))
    assert disk.finished == 1
    disk.assert_all_on_disk()
    # The folders above it too.
    for folder in (out.parent, out.parent.parent, out.parent.parent.parent):
        assert out.name in disk.synced[folder.stat().st_ino] or folder != out.parent
        assert folder.stat().st_ino in disk.synced


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_that_goes_on_trusts_no_earlier_sync(out: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier run may have been stopped when all was written and nothing on disk."""
    export(_options(out, format))
    (out / "manifest.json").unlink()
    disk = Disk(out, monkeypatch)
    disk.synced[(out / ".lpff-shards/plan.json").stat().st_ino] = _state(out / ".lpff-shards/plan.json")
    export(_options(out, format))
    assert disk.finished == 1
    disk.assert_all_on_disk()


@pytest.mark.parametrize("change", ["overwrite", "update", "lost"])
@pytest.mark.parametrize("format", FORMATS)
def test_no_manifest_is_on_disk_while_shards_change(
    out: Path, format: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdrawn = tmp_path / "withdrawn.txt"
    withdrawn.write_text("")
    mix = MixOptions(exclude=str(withdrawn))
    export(_options(out, format, mix=mix))
    run = RunOptions(workers=1, checksum="sha256", overwrite=change == "overwrite", update=change == "update")
    changes: dict[str, object] = {"mix": mix, "run": run}
    if change == "update":
        withdrawn.write_text("00000001\n")
    elif change == "overwrite":
        changes["picture"] = PictureOptions(resolution=16)
    else:
        next(path for path in out.iterdir() if path.name.startswith("demo-train") and path.suffix != ".idx").unlink()
    disk = Disk(out, monkeypatch, durable=True)
    export(_options(out, format, **changes))
    assert disk.finished == 1


@pytest.mark.parametrize("format", ["wds", "tfrecord"])
def test_what_index_writes_is_on_disk(out: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    export(_options(out, format))
    lost = [path for path in out.rglob("*") if path.suffix in (".idx", ".sqlite", ".csv")]
    for path in lost:
        path.unlink()
    disk = Disk(out, monkeypatch, durable=True)
    assert set(index_export(out)) == {str(path.relative_to(out)) for path in lost}
    disk.assert_all_on_disk()
