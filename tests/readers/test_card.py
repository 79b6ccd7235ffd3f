"""The examples of data-set cards run as they stand; those of libraries that are absent run in other environments.

All examples of a card run one after the other in one process, so that each library is imported once.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from layouts import write_lpff

from lpff_shards import ExportOptions, MixOptions, PictureOptions, RunOptions, ShardOptions, SourceOptions, export

EXAMPLE = re.compile(r"^### (?P<title>[^\n]*)\n\n```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
OURS = {
    "lpff_shards.loaders.torch": "torchdata",
    "lpff_shards.loaders.jax": "grain",
    "lpff_shards.loaders.tensorflow": "tensorflow",
}
"""What our own loaders need."""
TARS = {
    *("Any sample by its number", "PyTorch", "JAX", "webdataset", "torchdata", "wids", "Hugging Face datasets"),
    *("NVIDIA DALI", "Megatron Energon"),
}
RECORDS = {
    *("Any sample by its number", "PyTorch", "TensorFlow", "JAX", "tf.data, without lpff-shards"),
    *("TensorFlow Datasets", "NVIDIA DALI"),
}
RUN = """
import contextlib, io, json, sys, traceback
if __name__ == "__main__":
    failed = {}
    for title, code in json.loads(sys.argv[1]).items():
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                exec(compile(code, title, "exec"), {"__name__": "__main__"})
        except BaseException:
            failed[title] = traceback.format_exc()
        else:
            if not said.getvalue():
                failed[title] = "it prints nothing"
    for title, why in failed.items():
        print(title, why)
"""


def _needs(code: str) -> list[str]:
    """The modules that an example imports."""
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [a.name for node in found if isinstance(node, ast.Import) for a in node.names]
    names += [str(node.module) for node in found if isinstance(node, ast.ImportFrom)]
    return [OURS.get(name, name) for name in names]


def _absent(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


def _examples(folder: Path) -> dict[str, str]:
    return {found["title"]: found["code"] for found in EXAMPLE.finditer((folder / "README.md").read_text())}


def _run(folder: Path) -> None:
    """Runs every example of a card whose libraries are here, in its folder."""
    examples = _examples(folder)
    here = {title: code for title, code in examples.items() if not any(map(_absent, _needs(code)))}
    assert here
    command = [sys.executable, "-W", "ignore", "-c", RUN, json.dumps(here)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def _options(out: Path, format: str, **more: object) -> ExportOptions:
    given = {
        "sources": SourceOptions(demo=4),
        "picture": PictureOptions(resolution=16),
        "run": RunOptions(workers=1),
        "shards": ShardOptions(),
    }
    return ExportOptions(format=format, out=str(out), **given | more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more",
    [
        {"shards": ShardOptions(shards=3)},
        {"picture": PictureOptions(resolution=16, image="raw"), "mix": MixOptions(rebalance="uniform", as_="weights")},
        {"picture": PictureOptions(resolution=16, image="jpeg"), "metadata": "msgpack"},
        {"picture": PictureOptions(resolution=16, image="webp"), "sources": SourceOptions(demo=4, mirror=False)},
    ],
    ids=["png", "raw", "packed", "webp"],
)
def test_the_examples_for_tars_run(tmp_path: Path, more: dict[str, object]) -> None:
    export(_options(tmp_path, "wds", **more))
    assert set(_examples(tmp_path)) == TARS
    _run(tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        {"mix": MixOptions(splits="a=0.5,b=0.5"), "sources": SourceOptions(demo=12, mirror=False)},
        {"picture": PictureOptions(resolution=16, image="raw")},
    ],
    ids=["png", "raw"],
)
def test_the_examples_for_records_run(tmp_path: Path, more: dict[str, object]) -> None:
    export(_options(tmp_path, "tfrecord", **more))
    assert set(_examples(tmp_path)) == RECORDS
    _run(tmp_path)


def test_the_example_for_zips_runs(tmp_path: Path) -> None:
    export(_options(tmp_path, "zip"))
    assert set(_examples(tmp_path)) == {"Python alone"}
    _run(tmp_path)


def test_examples_run_for_photos_of_several_kinds_and_sizes(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "LPFF", alignments=["raw"])
    out = tmp_path / "out"
    sources = SourceOptions(lpff=str(root), alignment="raw")
    export(_options(out, "wds", sources=sources, picture=PictureOptions()))
    _run(out)
