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
from typing import Any

from dataset_factories import write_lpff

from lpff_shards import ExportOptions, MixOptions, PictureOptions, RunOptions, ShardOptions, SourceOptions, export

EXAMPLE = re.compile(r"^### (?P<title>[^\n]*)\n\n```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
RAW = PictureOptions(resolution=16, image="raw")
UNMIRRORED = SourceOptions(demo=12, mirror=False)
OURS = {
    "lpff_shards.loaders.torch": "torch",
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
import contextlib, io, json, os, sys, traceback
if __name__ == "__main__":
    for folder, title, code in json.loads(sys.argv[1]):
        os.chdir(folder)
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                exec(compile(code, title, "exec"), {"__name__": "__main__"})
        except BaseException:
            print(folder, title, traceback.format_exc())
        else:
            if not said.getvalue():
                print(folder, title, "prints nothing")
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


def _run(*folders: Path) -> None:
    """Runs every example of the cards whose libraries are here, each in its card's folder."""
    examples = [(str(folder), *example) for folder in folders for example in _examples(folder).items()]
    here = [example for example in examples if not any(map(_absent, _needs(example[2])))]
    assert here
    command = [sys.executable, "-W", "ignore", "-c", RUN, json.dumps(here)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def _options(out: Path, format: str, **more: Any) -> ExportOptions:
    given: dict[str, Any] = {
        "sources": SourceOptions(demo=4),
        "picture": PictureOptions(resolution=16),
        "run": RunOptions(workers=1),
    }
    return ExportOptions(format=format, out=str(out), **given | more)  # type: ignore[arg-type]


def test_the_examples_for_tars_run(tmp_path: Path) -> None:
    exports: dict[str, dict[str, Any]] = {
        "png": {"shards": ShardOptions(shards=3)},
        "raw": {"picture": RAW, "mix": MixOptions(rebalance="uniform", as_="weights")},
        "packed": {"picture": PictureOptions(resolution=16, image="jpeg"), "metadata": "msgpack"},
        "webp": {"picture": PictureOptions(resolution=16, image="webp"), "sources": UNMIRRORED},
    }
    for name, more in exports.items():
        export(_options(tmp_path / name, "wds", name=name, **more))
        assert set(_examples(tmp_path / name)) == TARS
    _run(*(tmp_path / name for name in exports))


def test_the_examples_for_records_run(tmp_path: Path) -> None:
    exports: dict[str, dict[str, Any]] = {
        "png": {"mix": MixOptions(splits="a=0.5,b=0.5"), "sources": UNMIRRORED},
        "raw": {"picture": RAW},
    }
    for name, more in exports.items():
        export(_options(tmp_path / name, "tfrecord", name=name, **more))
        assert set(_examples(tmp_path / name)) == RECORDS
    _run(*(tmp_path / name for name in exports))


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
