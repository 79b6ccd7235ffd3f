"""Code that lies in the current folder, a data set's say, never runs: neither here nor in a process that is started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from planting import installed, plant
from running import run

import lpff_shards

COMMAND = "from lpff_shards.cli import main; main()"
SCRIPT = """
import sys, threading, time
import beside
from lpff_shards import verify_export
from lpff_shards.executors.processes import may_fork

threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # of the user's, so that no worker is forked
assert not may_fork()
assert verify_export(sys.argv[1], workers=2).ok
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in two shards."""
    out = tmp_path_factory.mktemp("sets") / "set"
    command = ("export", "--format", "wds", "--demo", 2, "--image", "raw", "--resolution", 16, "--shards", 2)
    assert run(*command, "--out", out).returncode == 0
    return out


@pytest.mark.parametrize(
    ("code", "arguments"),
    [(COMMAND, ("bench", ".", "--loader", "source", "--seconds", "0.01")), (SCRIPT, (".",))],
    ids=["bench", "fresh workers"],
)
def test_modules_of_the_current_folder_do_not_run(
    made: Path, tmp_path: Path, code: str, arguments: tuple[str, ...]
) -> None:
    folder = tmp_path / "set"
    told = plant(folder)
    for file in made.iterdir():
        (folder / file.name).symlink_to(file)
    # As with an editable package, and one that PYTHONPATH leads to.
    environment = {**os.environ, "PYTHONPATH": str(Path(lpff_shards.__file__).parents[1])}
    command = installed(tmp_path / "bin", code, *arguments)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not told.exists(), told.read_text()
    assert done.returncode == 0, done.stderr


def test_every_interpreter_is_started_by_the_same_function() -> None:
    package = Path(lpff_shards.__file__).parent
    users = [path.name for path in package.rglob("*.py") if "sys.executable" in path.read_text()]
    assert users == ["processes.py"]
    assert (package / "executors/processes.py").read_text().count("sys.executable") == 1
