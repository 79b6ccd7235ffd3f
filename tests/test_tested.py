"""docs/tested.md and CITATION.cff say what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib

from conftest import PROJECT

from lpff_shards import __version__

PROJECT_FILE = tomllib.loads((PROJECT / "pyproject.toml").read_text())
PAGE = (PROJECT / "docs/tested.md").read_text()
# What the tests themselves need is no reader.
TOOLS = ("flask", "flask-cors", "moto[s3]", "obstore", "pytest", "pytest-xdist")


def _cells(first: str) -> str:
    """The second cell of a row."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \| (.*) \|$", PAGE, re.MULTILINE)
    return str(found)


def _told(requirements: list[str]) -> str:
    plain = [one.partition(";")[0] for one in requirements]
    return ", ".join(one for one in plain if re.split("[<>=]", one)[0] not in TOOLS)


def test_every_python_is_in_the_table() -> None:
    classifiers = PROJECT_FILE["project"]["classifiers"]
    pythons = [one.rpartition(" ")[2] for one in classifiers if re.search(r":: Python :: 3\.\d+$", one)]
    assert re.findall(r"^\| (3\.\d+) \|", PAGE, re.MULTILINE) == pythons
    assert PROJECT_FILE["project"]["requires-python"] == f">={pythons[0]}"


def test_every_library_is_in_the_table() -> None:
    assert _cells("the package") == _told(PROJECT_FILE["project"]["dependencies"])
    for extra, libraries in PROJECT_FILE["project"]["optional-dependencies"].items():
        if extra not in ("dev", "test"):
            needed = ", ".join(one.partition(";")[0] for one in libraries)
            assert _cells(f"`[{extra}]`") == needed
    for name, group in PROJECT_FILE["dependency-groups"].items():
        if name.startswith("readers-"):
            assert _cells(f"`readers({name.removeprefix('readers-')})`") == _told(group)


def test_the_citation_has_this_version() -> None:
    assert f"\nversion: {__version__}\n" in (PROJECT / "CITATION.cff").read_text()
