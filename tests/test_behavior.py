"""What users get does not change by itself: each file of small exports, the recorded options, the help texts.

After an intended change, `LPFF_SHARDS_REGENERATE_GOLDEN=1` writes `tests/golden/behavior.json` and `help.txt` again.
Look at the difference, and say in the changelog why.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import blake3
import pytest
from dataset_factories import LPFF_IDS, write_ffhq_eg3d, write_ffhq_v2, write_lpff, write_unsplash_pexels
from running import contents, run

from lpff_shards.cli import cli

GOLDEN = Path(__file__).parent / "golden"
HASHES, HELP = GOLDEN / "behavior.json", GOLDEN / "help.txt"
REGENERATE = bool(os.environ.get("LPFF_SHARDS_REGENERATE_GOLDEN"))
PACKERS = ("pillow", "simplejpeg", "zlib-ng")
"""Encoders of pictures: another version may write other bytes, as SQLite may for the same rows."""

ALL = ("--lpff", "@/LPFF", "--ffhq", "@/eg3d", "--ffhq-metadata", "@/v2.json", "--unsplash-pexels", "@/UP")
FORMATS = {
    "plain": ("--no-mirror",),
    "copies": ("--rebalance", "lpff"),
    "eg3d": ("--rebalance", "eg3d"),
    "uniform": ("--rebalance", "uniform", "--target-size", "40", "--seed", "7"),
    "splits": ("--splits", "train=0.6,val=0.4"),
    "resized": ("--resolution", "4"),
    "excluded": ("--exclude", "@/gone.txt"),
}
"""Options that every format takes."""
SHARDS = {
    "raw": ("--image", "raw", "--resolution", "4"),
    "small": ("--shard-size", "20kB", "--checksum", "sha256", "--seed", "7"),
}
"""Options of shards, not of zips."""
TARS = {
    "msgpack": ("--metadata", "msgpack", "--samples-per-shard", "5"),
    **{kind: ("--image", kind) for kind in ("png", "fast-png", "stored-png", "jpeg", "webp")},
}
OPTIONS = {"wds": FORMATS | SHARDS | TARS, "tfrecord": FORMATS | SHARDS, "zip": FORMATS}
CASES = {
    f"{format} {name}": ("--format", format, *words)
    for format, given in OPTIONS.items()
    for name, words in given.items()
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three published data sets, and the files beside them."""
    root = tmp_path_factory.mktemp("behavior")
    write_lpff(root / "LPFF", [*LPFF_IDS, *(f"1000{n}@N0{n % 3}_{n * 7919}_01" for n in range(6))])
    write_ffhq_eg3d(root / "eg3d", 5)
    write_ffhq_v2(root / "v2.json", range(5))
    write_unsplash_pexels(root / "UP")
    (root / "gone.txt").write_text("00002\n")
    # Receipts hold the times of the files that were read.
    for path in root.rglob("*"):
        os.utime(path, (1e9, 1e9))
    return root


@pytest.fixture(scope="module")
def golden() -> Mapping[str, Any]:
    if REGENERATE:
        HASHES.write_text("{}")
    return json.loads(HASHES.read_text())


def _versions() -> dict[str, str]:
    return {"sqlite": sqlite3.sqlite_version, **{name: version(name) for name in PACKERS}}


def _observed(out: Path) -> dict[str, Any]:
    """The recorded options, and a hash of each file."""
    files = sorted(contents(out).items())
    return {
        "options": json.loads((out / "manifest.json").read_text())["options"],
        "files": {name: blake3.blake3(content).hexdigest(length=8) for name, content in files},
    }


@pytest.mark.parametrize("case", CASES)
def test_no_file_of_an_export_changes(golden: dict[str, Any], data: Path, tmp_path: Path, case: str) -> None:
    words = [word.replace("@", str(data)) for word in (*CASES[case], *ALL)]
    done = run("export", *words, "--workers", 1, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = _observed(tmp_path / "out")
    if REGENERATE:
        golden |= {"versions": _versions(), case: found}
        HASHES.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    assert found["options"] == golden[case]["options"]
    if golden["versions"] != _versions():
        pytest.skip(f"the bytes are those of {golden['versions']}, and here are {_versions()}")
    assert found["files"] == golden[case]["files"]


def test_no_help_changes() -> None:
    names = [(), *((name,) for name in sorted(cli.commands))]
    texts = (run(*name, "--help").stdout for name in names)
    found = "\n".join(
        f"$ lpff-shards {' '.join((*name, '--help'))}\n{text}" for name, text in zip(names, texts, strict=True)
    )
    if REGENERATE:
        HELP.write_text(found)
    assert found == HELP.read_text()
