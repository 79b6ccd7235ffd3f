"""export --update: withdrawn photos leave a finished export, and nothing else changes."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from running import call, contents, run, shards

from lpff_shards import (
    ExportOptions,
    MixOptions,
    RunOptions,
    ShardOptions,
    ShardsError,
    SourceOptions,
    export,
    read_manifest,
    verify_export,
)
from lpff_shards.manifest import Manifest

PHOTO = "00000003"


class Exports:
    """Exports of the demo into one folder, with an exclude file that grows."""

    def __init__(self, root: Path, format: Any = "wds", **mix: Any) -> None:
        self.out, self.file = root / "out", root / "withdrawn.txt"
        self._format, self._mix = format, mix

    def run(self, *ids: str, update: bool = False, exclude: bool = True, overwrite: bool = False) -> Manifest:
        self.file.write_text("\n".join(["# withdrawn", *ids]))
        mix = MixOptions(exclude=str(self.file) if exclude else None, **self._mix)
        return export(
            ExportOptions(
                format=self._format,
                out=str(self.out),
                sources=SourceOptions(demo=40),
                mix=mix,
                shards=ShardOptions(shards=12),
                run=RunOptions(workers=1, update=update, overwrite=overwrite),
            )
        )

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Inode and bytes of each shard."""
        return {path.name: (path.stat().st_ino, path.read_bytes()) for path in shards(self.out)}


@pytest.fixture(params=["wds", "tfrecord", "parquet", "arrayrecord"])
def exports(request: pytest.FixtureRequest, tmp_path: Path) -> Exports:
    return Exports(tmp_path, request.param, rebalance="lpff", splits="train=0.8,val=0.2")


def _keys(out: Path) -> set[str]:
    receipts = (out / ".lpff-shards/receipts").glob("*.json")
    return {key for path in receipts for key in json.loads(path.read_text())["keys"]}


def test_only_shards_that_held_withdrawn_photos_change(exports: Exports) -> None:
    first = exports.run(exclude=False)
    before, keys = exports.files(), _keys(exports.out)
    second = exports.run(PHOTO, "10002@N00", update=True)
    after = exports.files()
    gone = {key for key in keys if PHOTO in key or "10002-N00" in key}
    assert {tombstone.key for tombstone in second.tombstones} == gone
    assert _keys(exports.out) == keys - gone
    touched = {tombstone.file for tombstone in second.tombstones}
    assert 0 < len(touched) < len(before)
    assert {name for name in before if before[name] != after[name]} == touched
    assert before.keys() == after.keys()
    assert second.samples == first.samples - len(gone)
    assert verify_export(exports.out, deep=True).ok


def test_what_was_withdrawn_is_in_no_byte(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    exports.run(exclude=False)
    assert any(f"N00_{PHOTO}_".encode() in data for _, data in exports.files().values())
    exports.run(PHOTO, update=True)
    assert not any(f"N00_{PHOTO}_".encode() in data for _, data in exports.files().values())
    for path in exports.out.glob("*.tar"):
        with tarfile.open(path) as archive:
            assert not any(PHOTO in name for name in archive.getnames())


def test_updates_add_up_and_repeat(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    exports.run("00000001")
    one = exports.run("00000001", PHOTO, update=True)
    two = exports.run("00000001", PHOTO, "00000007", update=True)
    assert {t.key for t in one.tombstones} < {t.key for t in two.tombstones}
    before = exports.files()
    again = exports.run("00000001", PHOTO, "00000007", update=True)
    assert (again, exports.files()) == (two, before)


def test_an_update_in_one_step_or_two_makes_the_same_shards(tmp_path: Path) -> None:
    stepwise, at_once = Exports(tmp_path / "a"), Exports(tmp_path / "b")
    for exports in (stepwise, at_once):
        exports.file.parent.mkdir()
        exports.run(exclude=False)
    stepwise.run(PHOTO, update=True)
    stepwise.run(PHOTO, "00000007", update=True)
    at_once.run("00000007", PHOTO, update=True)
    assert {n: d for n, (_, d) in stepwise.files().items()} == {n: d for n, (_, d) in at_once.files().items()}
    assert (stepwise.out / "manifest.json").read_bytes() == (at_once.out / "manifest.json").read_bytes()


def test_an_interrupted_update_goes_on(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    exports.run(exclude=False)
    whole = exports.run(PHOTO, "10002@N00", update=True)
    first, *_ = {tombstone.file for tombstone in whole.tombstones}
    after = exports.files()
    (exports.out / "manifest.json").unlink()
    (exports.out / first).write_bytes(b"half")
    assert exports.run(PHOTO, "10002@N00", update=True) == whole
    assert {n: d for n, (_, d) in exports.files().items()} == {n: d for n, (_, d) in after.items()}


def test_without_update_a_longer_list_is_refused_with_the_way_out(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    exports.run("00000001")
    with pytest.raises(ShardsError, match="--update removes what --exclude names since"):
        exports.run("00000001", PHOTO)
    assert read_manifest(exports.out).tombstones == ()


def test_what_was_withdrawn_does_not_come_back(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    exports.run("00000001", "00000002")
    with pytest.raises(ShardsError, match="only removes photos, but --exclude lacks 1 name of earlier commands"):
        exports.run("00000001", PHOTO, update=True)


def test_what_an_update_took_out_does_not_come_back(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    exports.run("00000001")
    updated = exports.run("00000001", PHOTO, update=True)
    before = contents(exports.out)
    with pytest.raises(ShardsError, match="only removes photos, but --exclude lacks 1 name of earlier commands"):
        exports.run("00000001", "00000007", update=True)
    with pytest.raises(ShardsError, match="this would bring back 1 name that an earlier --update removed"):
        exports.run("00000001")
    assert contents(exports.out) == before
    assert PHOTO not in (exports.out / ".lpff-shards/plan.json").read_text()
    (exports.out / "demo-train-000000.tar").unlink()
    assert exports.run("00000001", PHOTO, update=True) == updated


def test_overwrite_puts_back_what_an_update_took_out(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    whole = exports.run(exclude=False)
    exports.run(PHOTO, update=True)
    assert exports.run(exclude=False, overwrite=True) == whole
    assert exports.run(exclude=False) == whole


def test_the_output_does_not_tell_who_was_excluded(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    exports.run("someone@N99", PHOTO)
    for path in exports.out.rglob("*"):
        assert not path.is_file() or b"someone@N99" not in path.read_bytes()


def test_other_changes_are_refused_under_update(tmp_path: Path) -> None:
    Exports(tmp_path).run(exclude=False)
    with pytest.raises(ShardsError, match="--rebalance none -> lpff"):
        Exports(tmp_path, rebalance="lpff").run(PHOTO, update=True)


def test_a_shard_is_not_left_empty(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    exports.run(exclude=False)
    ids = [f"{user}@N00" for user in range(10_000, 10_030)]
    with pytest.raises(ShardsError, match="--update would leave nothing in demo-train-000000"):
        exports.run(*ids, update=True)
    assert verify_export(exports.out).ok


def test_there_must_be_something_to_update(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="holds no export"):
        Exports(tmp_path).run(PHOTO, update=True)
    with pytest.raises(ShardsError, match="--update needs --exclude"):
        Exports(tmp_path).run(update=True, exclude=False)
    with pytest.raises(ShardsError, match="--update and --overwrite cannot be used together"):
        RunOptions(update=True, overwrite=True)


def test_the_command_says_what_it_takes_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("export", "--format", "wds", "--demo", 20, "--shards", 6, "--workers", 1, "--out", tmp_path / "out")
    assert run(*args).returncode == 0
    (tmp_path / "gone.txt").write_text(f"{PHOTO}\nnobody@N00\n")
    more = ("--exclude", tmp_path / "gone.txt", "--update", "--allow-missing")
    shown = call(capsys, monkeypatch, *args, *more, "--dry-run").out
    assert "taken out: 2 samples of " in shown
    assert "no picture matches these --exclude entries: nobody@N00" in shown
    done = run(*args, *more)
    assert (done.returncode, "taken out: 2 samples of " in done.stderr) == (0, True)
    assert len(json.loads((tmp_path / "out/manifest.json").read_text())["tombstones"]) == 2


def test_an_update_does_not_say_that_the_file_names_nothing(tmp_path: Path) -> None:
    command = ("export", "--format", "wds", "--demo", 6, "--resolution", 16, "--out", tmp_path / "out")
    assert run(*command).returncode == 0
    gone = tmp_path / "gone.txt"
    gone.write_text("# none yet\n")
    assert "names nothing" in run(*command, "--exclude", gone, "--update").stderr
    gone.write_text(f"{PHOTO}\n")
    done = run(*command, "--exclude", gone, "--update")
    assert "taken out: 2 samples" in done.stderr
    assert "names nothing" not in done.stderr
