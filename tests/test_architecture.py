"""The package's shape: imports follow the data's flow, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import lpff_shards

PACKAGE = Path(lpff_shards.__file__).parent

ALLOWED = {
    "errors": set(),
    "spelling": set(),
    "colours": set(),
    "printed": set(),
    "loudness": {"errors"},
    "versions": set(),
    "stores": {"errors"},
    "option_rules": {"errors", "spelling", "stores"},
    "mix_options": {"errors", "option_rules", "schemas", "spelling"},
    "options": {"errors", "mix_options", "option_rules", "share", "stores"},
    "checksums": set(),
    "columns": set(),
    "provenance": {"mix_options", "options", "stores"},
    "provenance_command": {"counted", "mix_options", "options"},
    "wire": set(),
    "schemas": {"errors"},
    "sources": {"columns", "errors", "mix_options", "option_rules", "options", "schemas", "stores", "wire"},
    "mixing": {"columns", "errors", "mix_options", "schemas", "sources"},
    "sizes": {"options", "schemas"},
    "processes": {"errors"},
    "sharding": {"counted", "errors", "options"},
    "index_names": set(),
    "counted": set(),
    "share": {"errors"},
    "faults": set(),
    "ledger": {"errors", "index_names", "manifest", "schemas", "stores"},
    "attribution": {"printed", "index_names", "ledger", "manifest", "schemas"},
    "report_names": set(),
    "survey": {"columns", "counted", "errors", "mixing", "options", "schemas", "sources", "wire"},
    "plan": {"columns", "errors", "options", "schemas", "sharding", "sources", "mixing", "survey"},
    "planning": {"columns", "errors", "options", "schemas", "sharding", "sources", "mixing", "sizes", "plan", "survey"},
    "name_lists": {"errors", "mix_options", "mixing", "options", "plan", "schemas"},
    "manifest": {"errors", "index_names", "options", "schemas", "stores"},
    "exporters": {
        "printed",
        "attribution",
        "counted",
        "errors",
        "mix_options",
        "options",
        "checksums",
        "index_names",
        "ledger",
        "report_names",
        "schemas",
        "wire",
        "mixing",
        "plan",
        "manifest",
        "processes",
        "provenance",
        "provenance_command",
        "sources",
        "stores",
    },
    "readers": {"manifest", "options", "schemas", "wire"},
    "verify": {
        *("checksums", "columns", "faults", "manifest", "options", "processes", "readers", "schemas", "stores"),
        "verify_beside",
    },
    "verify_beside": {"exporters", "faults", "index_names", "manifest", "options", "stores"},
    "loaders": {"errors", "index_names", "ledger", "manifest", "processes", "schemas", "spelling", "stores", "wire"},
    "bench": {
        "printed",
        "colours",
        "counted",
        "errors",
        "loaders",
        "manifest",
        "option_rules",
        "processes",
        "schemas",
        "spelling",
        "stores",
    },
    "lookups": set(),
    "tracing": {"errors", "ledger", "lookups", "manifest", "option_rules", "schemas", "stores"},
    "indexing": {"checksums", "errors", "exporters", "ledger", "manifest", "processes", "readers", "stores"},
    "engines": {"errors", "option_rules", "options", "processes"},
    "api": {
        "counted",
        "schemas",
        *("engines", "errors", "options", "exporters", "finishing", "manifest", "mixing", "name_lists"),
        *("observing", "plan", "planning", "processes", "provenance", "sources", "stores", "survey"),
    },
    "finishing": {
        *("errors", "exporters", "index_names", "ledger", "manifest", "plan", "provenance", "schemas", "stores"),
        "survey",
    },
    "observing": {"manifest", "plan", "processes"},
    "progress": {"errors", "counted", "observing", "colours", "loudness", "manifest", "plan", "processes", "versions"},
    "report": {
        "printed",
        *("counted", "errors", "exporters", "ledger", "loaders", "manifest", "mix_options", "mixing", "plan"),
        *("readers", "report_names", "schemas", "sources", "stores", "wire"),
    },
    "console": {
        "errors",
        "printed",
        *("api", "counted", "options", "colours", "manifest", "mixing", "plan", "progress", "stores", "survey"),
        "verify",
    },
    "console_trace": {"printed", "attribution", "counted", "errors", "ledger", "schemas", "tracing"},
    "commandline": {
        "share",
        *("bench", "colours", "errors", "lookups", "mix_options", "option_rules", "options", "schemas", "spelling"),
    },
    "cli": {
        *("errors", "mix_options", "options", "api", "bench", "colours", "commandline", "console", "console_trace"),
        *("indexing", "loudness", "processes", "progress", "report", "tracing", "verify", "versions"),
    },
    "__main__": {"cli"},
    "__init__": {"api", "errors", "indexing", "manifest", "mix_options", "options", "share", "tracing", "verify"},
}

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


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lpff_shards"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("lpff_shards.")}
    return {name for name in found if (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists()}


def test_imports_follow_the_data() -> None:
    for path in PACKAGE.rglob("*.py"):
        part = _part(path)
        extra = _imports(path) - ALLOWED[part] - {part}
        assert not extra, f"{path.relative_to(PACKAGE)} imports {extra}"


def test_absence_is_asked_for_where_errors_are_told() -> None:
    # Entries of a listing and objects of buckets tell their errors; /proc is not there on every system.
    told = {"stores/place.py", "stores/bucket.py", "sources/bucket_tree.py", "processes.py"}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        asked = ASKS.findall(path.read_text()) if name not in told else []
        asked = [ask for ask in asked if not ask.startswith("entry.")]
        assert not asked, f"{name} asks {asked}: use exists, is_file or is_folder of stores.place"


def test_every_part_is_listed() -> None:
    parts = {_part(path) for path in PACKAGE.rglob("*.py")}
    assert parts == set(ALLOWED)


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
