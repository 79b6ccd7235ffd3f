"""Receipts are read when they are used: an export holds none of them, however many shards it has."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from running import call

from lpff_shards import ShardsError
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars import folder as folders
from lpff_shards.sidecars.folder import OutputFolder, Receipts

SHARDS = 60


def _export(out: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, *more: object) -> None:
    command = ("export", "--format", "wds", "--demo", SHARDS, "--resolution", 16, "--image", "raw", "--workers", 2)
    done = call(capsys, patch, *command, "--samples-per-shard", 1, "--no-mirror", "--out", out, *more)
    assert done.status == 0, done.err


def test_an_export_holds_few_receipts_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that finds all its shards whole, and makes the indexes that are missing."""
    alive: weakref.WeakSet[object] = weakref.WeakSet()
    most = read = 0

    class Weak(ShardReceipt, frozen=True, weakref=True):
        """A receipt that may be counted."""

    before = folders.from_json

    def counting(data: bytes, type: type) -> object:
        nonlocal most, read
        if type is not ShardReceipt:
            return before(data, type)
        receipt = before(data, Weak)
        alive.add(receipt)
        most, read = max(most, len(alive)), read + 1
        return receipt

    monkeypatch.setattr(folders, "from_json", counting)
    for _ in range(2):
        _export(tmp_path / "out", capsys, monkeypatch)
        (tmp_path / "out/manifest.json").unlink()
    gc.collect()
    assert read >= 4 * SHARDS
    assert most < SHARDS


def test_receipts_are_those_in_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _export(tmp_path / "out", capsys, monkeypatch)
    folder = OutputFolder(tmp_path / "out")
    names = sorted(folder.with_receipts())
    receipts = Receipts(folder, names)
    assert len(names) >= SHARDS // 2
    assert [receipt.file for receipt in receipts] == names
    (tmp_path / f"out/.lpff-shards/receipts/{names[3]}.json").write_text("{}")
    with pytest.raises(ShardsError, match=rf"{names[3]}\.json was changed while the export ran"):
        list(receipts)
