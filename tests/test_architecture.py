"""The package's floors: each import leads down, nothing heavy is loaded before it is needed, and code stays short."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter

from conftest import PROJECT
from floors import FLOORS, PACKAGE, floor, imports, part

import lpff_shards
from lpff_shards.formats.registry import NAMES
from lpff_shards.schemas.sources import SPECS

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 60

ASKS = re.compile(r"\S+\.(?:exists|is_file|is_dir|isfile|isdir)\(")

HEAVY = (
    "tensorflow",
    "torch",
    "torchdata",
    "jax",
    "grain",
    "webdataset",
    "PIL",
    "matplotlib",
    "jinja2",
    "numpy",
    "obstore",
    "ray",
)


def test_every_import_leads_to_a_lower_floor() -> None:
    for name, imported in sorted(imports().items()):
        for other in imported:
            same = part(name) == part(other)
            assert same or floor(part(other)) < floor(part(name)), f"{name} imports {other}, which is no lower"


def test_no_modules_import_one_another() -> None:
    graph = TopologicalSorter(imports())
    graph.prepare()


def test_the_top_of_the_package_is_small() -> None:
    parts = set(map(part, imports()))
    assert parts == {name for names in FLOORS for name in names}
    packages = [name for name in parts if name and (PACKAGE / name).is_dir()]
    # The root package, `__init__.py`, is a module at the top.
    assert len(packages) <= 12 and len(parts) - len(packages) <= 8


def test_absence_is_asked_for_where_errors_are_told() -> None:
    # Entries of a listing and objects of buckets tell their errors; /proc is not there on every system.
    told = {"storage/path.py", "storage/bucket.py", "executors/processes.py"}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        asked = ASKS.findall(path.read_text()) if name not in told else []
        asked = [ask for ask in asked if not ask.startswith("entry.")]
        assert not asked, f"{name} asks {asked}: use exists, is_file or is_folder of storage.path"


def _modules_after(code: str) -> set[str]:
    script = f"import sys\nsys.argv = ['lpff-shards', '--help']\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {line.split(".")[0] for line in done.stdout.splitlines()}


def test_help_loads_nothing_heavy() -> None:
    help_ = "from lpff_shards.cli import cli\ncli.main(['export', '--help'], standalone_mode=False)"
    assert not _modules_after(help_) & set(HEAVY)


def test_import_loads_nothing_heavy() -> None:
    assert not _modules_after("import lpff_shards") & set(HEAVY)


def test_public_names_are_there() -> None:
    for name in lpff_shards.__all__:
        assert getattr(lpff_shards, name) is not None


def test_no_module_outside_formats_asks_for_a_format_by_name() -> None:
    # TensorFlow Datasets' own word for a kind of file.
    kept = {"sidecars/indexes.py": {"tfrecord"}}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("formats/"):
            words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert words & {*NAMES} <= kept.get(name, set()), f"{name} names {words & {*NAMES}}"


def test_files_and_functions_are_short_and_each_class_has_a_name_of_its_own() -> None:
    homes: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name, text = path.relative_to(PACKAGE).as_posix(), path.read_text()
        assert len(text.splitlines()) <= MOST_LINES, f"{name} is over {MOST_LINES} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= MOST_LINES_OF_A_FUNCTION, f"{name}: {node.name} has {lines} lines"
            elif isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(name)
    assert {name: of for name, of in homes.items() if len(of) > 1} == {}


def test_a_format_is_one_short_file() -> None:
    most = {"wds": 200, "tfrecord": 200, "zip": 200, "parquet": 150, "arrayrecord": 150}
    assert set(most) == set(NAMES)
    for name, lines in most.items():
        assert len((PACKAGE / f"formats/{name}.py").read_text().splitlines()) <= lines, f"{name} is over {lines} lines"


def test_every_file_of_the_package_is_in_a_wheel() -> None:
    told = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {
        path for part, globs in told.items() for glob in globs for path in (PROJECT / part.replace(".", "/")).glob(glob)
    }
    # The checkout's, not those of an installed package, which are in a wheel already.
    files = (PROJECT / "lpff_shards").rglob("*")
    there = {path for path in files if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert there == packed


def _texts(tree: ast.AST) -> set[str]:
    """The texts of a module, parts of f-strings too, without docstrings and what documents a name."""
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
    }


def test_one_table_names_the_data_sets() -> None:
    rule = "a rule of rebalancing is called lpff"
    kept = {
        "schemas/crops.py": "an alignment is called ffhq",
        "schemas/sources.py": "the table",
        "options/export.py": "refuses mixes that FFHQ's files do not allow",
        "options/sources.py": "declares --ffhq",
        "options/mix.py": rule,
        "planning/build.py": rule,
        "planning/mix.py": rule,
        "planning/rebalance.py": f"{rule}, and its hint names --ffhq-cameras",
        "sidecars/card/__init__.py": rule,
    }
    named = re.compile(rf"\b(?:{'|'.join(SPECS)})\b(?!-shards)")
    found = set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("sources/") and any(map(named.search, _texts(ast.parse(path.read_text())))):
            found.add(name)
    assert found == set(kept), found ^ set(kept)
