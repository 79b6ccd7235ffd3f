"""The examples of docs/loading.md run; those of libraries that are not installed here run in other environments."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT
from running import run

from lpff_shards.formats.registry import get_format

PAGE = (PROJECT / "docs" / "loading.md").read_text()
EXAMPLE = re.compile(r"(?:<!-- (?P<word>needs|not run): (?P<what>[^>]*) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
EXAMPLES = [(match["what"] or "", match["code"]) for match in EXAMPLE.finditer(PAGE) if match["word"] != "not run"]
COMMANDS = re.findall(r"^lpff-shards (export .*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's commands were run, on fewer pictures."""
    folder = tmp_path_factory.mktemp("loading")
    for command in COMMANDS:
        words = command.replace("--demo ", "--demo 9 --resolution 64 ").replace("--out ", f"--out {folder}/").split()
        if not _lacks_a_library(words[words.index("--format") + 1]):
            assert run(*words).returncode == 0
    return folder


def _lacks_a_library(format: str) -> bool:
    needs = get_format(format).needs
    return needs is not None and _absent(needs[0])


def _title(needs: str, code: str) -> str:
    return f"{needs or 'numpy'} {code.strip().splitlines()[-1][:30]}"


def _absent(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


@pytest.mark.parametrize(("needs", "code"), EXAMPLES, ids=[_title(*example) for example in EXAMPLES])
def test_the_example_runs(needs: str, code: str, folder: Path) -> None:
    if absent := [module for module in needs.split() if _absent(module)]:
        pytest.skip(f"{' and '.join(absent)} not installed here")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "assert" in code


def test_every_reader_has_an_example() -> None:
    named = {module for needs, _ in EXAMPLES for module in needs.split()}
    assert named == {
        *("torch", "webdataset", "wids", "datasets", "megatron.energon", "nvidia.dali"),
        *("tensorflow", "tensorflow_datasets", "jax", "grain", "pyarrow", "array_record"),
    }
    assert len(COMMANDS) == 4
