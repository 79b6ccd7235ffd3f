"""`examples/` work: a format of another package, found by its entry point, with every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import PROJECT

LINES = PROJECT / "examples/lines"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of installed packages that holds the example, as pip would have written it."""
    site = tmp_path / "site"
    info = site / "lpff_shards_lines-0.1.dist-info"
    info.mkdir(parents=True)
    shutil.copy(LINES / "lpff_shards_lines.py", site)
    groups = tomllib.loads((LINES / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in own.items()) for group, own in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lpff-shards-lines\nVersion: 0.1\n")
    return site


def _run(site: Path, *words: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(site), str(PROJECT), os.environ.get("PYTHONPATH", "")))
    command = [sys.executable, "-m", "lpff_shards", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})


def test_a_format_of_another_package_works_with_every_command(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export = ("export", "--format", "lines", "--demo", 6, "--resolution", 32, "--shards", 3, "--out", out)
    done = _run(installed, *export)
    assert done.returncode == 0, done.stderr
    shards = sorted(out.glob("*.lines"))
    before = [shard.read_bytes() for shard in shards]
    shards[1].unlink()
    assert _run(installed, "verify", out).returncode == 1
    again = _run(installed, *export)
    assert again.returncode == 0 and "2 of them finished before" in again.stderr
    assert [shard.read_bytes() for shard in shards] == before
    assert _run(installed, "verify", "--deep", out).returncode == 0
    assert _run(installed, "index", out).returncode == 0
    assert "### msgpack\n\n`demo-train-000000.lines` holds messages" in (out / "README.md").read_text()
    assert _run(installed, "report", out).returncode == 0
    found = json.loads(_run(installed, "trace", "--json", "--by", "key", _key(out), out).stdout)
    (sample,) = found["samples"]
    data = (out / sample["file"]).read_bytes()[sample["offset"] : sample["offset"] + sample["bytes"]]
    assert data[-sample["picture_bytes"] :].startswith(b"\x89PNG")


def _key(out: Path) -> str:
    receipt = next((out / ".lpff-shards/receipts").iterdir())
    return str(json.loads(receipt.read_text())["keys"][1])


def test_without_it_the_format_is_not_known(tmp_path: Path) -> None:
    done = _run(tmp_path, "export", "--format", "lines", "--demo", 1, "--out", tmp_path / "out")
    assert done.returncode == 2 and "--format 'lines' is not known" in done.stderr
