"""`examples/` work: a format and a data set of other packages, found by their entry points, with every command."""

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

from lpff_shards.errors import ShardsError
from lpff_shards.options.sources import SourceOptions
from lpff_shards.sources.demo import Demo
from lpff_shards.sources.registry import sources

EXAMPLES = PROJECT / "examples"


def _install(site: Path, name: str) -> None:
    """Puts an example into a folder of installed packages, as pip would have written it."""
    info = site / f"lpff_shards_{name}-0.1.dist-info"
    info.mkdir(parents=True)
    shutil.copy(EXAMPLES / name / f"lpff_shards_{name}.py", site)
    project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]
    lines = [
        f"[{group}]\n" + "".join(f"{point} = {value}\n" for point, value in own.items())
        for group, own in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1\n")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of installed packages that holds the examples."""
    for name in ("lines", "faces"):
        _install(tmp_path / "site", name)
    return tmp_path / "site"


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


BROKEN = """
from lpff_shards.formats.base import Format
import {module}
class Broken(Format):
    name = "{name}"
"""


def _add(site: Path, group: str, name: str, home: str, code: str) -> None:
    info = site / f"{name}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {home}\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (site / f"{home.partition(':')[0]}.py").write_text(code)


@pytest.mark.parametrize(
    ("name", "module", "reason"),
    [
        ("broken", "nosuch", "cannot be loaded from mine:Broken: No module named 'nosuch'"),
        ("broken", "os", "lacks filename, holds, with_offsets, writer, title, tag, pattern, glob"),
    ],
)
def test_a_broken_format_of_another_package_is_one_error_and_leaves_others_alone(
    tmp_path: Path, name: str, module: str, reason: str
) -> None:
    _add(tmp_path / "site", "lpff_shards.formats", name, "mine:Broken", BROKEN.format(module=module, name=name))
    out = tmp_path / "out"
    assert _run(tmp_path / "site", "export", "--format", "wds", "--demo", 1, "--out", out).returncode == 0
    assert _run(tmp_path / "site", "verify", out).returncode == 0
    done = _run(tmp_path / "site", "export", "--format", name, "--demo", 1, "--out", tmp_path / "other")
    assert done.returncode == 2 and reason in done.stderr and "Traceback" not in done.stderr


def test_a_package_cannot_replace_a_format(tmp_path: Path) -> None:
    _add(tmp_path / "site", "lpff_shards.formats", "wds", "mine:Broken", BROKEN.format(module="nosuch", name="wds"))
    assert _run(tmp_path / "site", "export", "--format", "wds", "--demo", 1, "--out", tmp_path / "out").returncode == 0
    assert list((tmp_path / "out").glob("*.tar"))


def test_an_export_whose_format_is_not_installed_says_so(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run(installed, "export", "--format", "lines", "--demo", 1, "--out", out).returncode == 0
    done = _run(tmp_path / "nothing", "verify", out)
    assert done.returncode == 2 and "is of format 'lines', which is not installed" in done.stderr


SOURCE = """
from lpff_shards.schemas.sources import SourceSpec, Terms
class Source:
    spec = SourceSpec(name="{name}", title="x", help="x", terms=Terms("x", "", "x"))
    def __init__(self, path, alignment): pass
    def inventory(self): pass
"""


def test_an_inventory_that_is_none_is_one_error(tmp_path: Path) -> None:
    _add(tmp_path / "site", "lpff_shards.sources", "empty", "mine:Source", SOURCE.format(name="empty"))
    done = _run(tmp_path / "site", "export", "--format", "wds", "--empty", "x", "--out", tmp_path / "out")
    assert done.returncode == 2 and "returned NoneType, not an Inventory" in done.stderr


def test_a_source_named_like_another_option_leaves_that_alone(tmp_path: Path) -> None:
    _add(tmp_path / "site", "lpff_shards.sources", "shards", "mine:Source", SOURCE.format(name="shards"))
    export = ("export", "--format", "wds", "--demo", 2, "--shards", 2, "--out", tmp_path / "out")
    done = _run(tmp_path / "site", *export)
    assert done.returncode == 0 and "Warning" not in done.stderr
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """The example's data set: five portraits, of which one has no camera and one a broken one."""
    folder = tmp_path / "my-faces"
    folder.mkdir()
    lines = ["file,photo,author,url,license,camera"]
    portraits = Demo(5, "eg3d").inventory()
    for number, record in enumerate(map(portraits.record, range(5))):
        (folder / f"{number:04d}.png").write_bytes(record.blob.read())
        camera = " ".join(map(str, record.camera.tolist())) if record.camera is not None and number < 3 else ""
        url, license = f"https://example.org/{number}", "https://creativecommons.org/licenses/by/2.0/"
        lines.append(f"{number:04d}.png,photo{number},Author {number},{url},{license},{camera or 'x' * (number == 4)}")
    (folder / "faces.csv").write_text("\n".join(lines))
    return folder


def test_a_data_set_of_another_package_works_with_every_command(installed: Path, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export = ("export", "--format", "wds", "--faces", faces, "--demo", 2, "--shards", 2, "--out", out)
    refused = _run(installed, *export)
    assert refused.returncode == 2 and "0003: it has no camera for this picture" in refused.stderr
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "my-faces"))
    assert "0003: it has no camera for this picture" in _run(installed, *export[:4], packed, *export[5:]).stderr
    done = _run(installed, *export, "--on-error", "skip")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["sources"] == {"demo": 4, "faces": 6}
    assert [(one["id"], one["reason"].partition(":")[0]) for one in manifest["skipped"]] == [
        ("0003", "it has no camera for this picture"),
        ("0004", "camera"),
    ]
    shards = sorted(out.glob("*.tar"))
    before = [shard.read_bytes() for shard in shards]
    shards[1].unlink()
    again = _run(installed, *export, "--on-error", "skip")
    assert again.returncode == 0 and "1 of them finished before" in again.stderr
    assert [shard.read_bytes() for shard in shards] == before
    assert _run(installed, "verify", "--deep", out).returncode == 0
    assert _run(installed, "report", out).returncode == 0
    (sample, _) = json.loads(_run(installed, "trace", "--json", "Author 1", out).stdout)["samples"]
    assert sample["key"].startswith("faces_0001")
    card = (out / "README.md").read_text()
    assert "--demo 2 --faces my-faces" in card and "Faces (made up for the documentation)" in card
    # The export is read without the package, too.
    assert _run(tmp_path, "verify", out).returncode == 0
    assert _run(tmp_path, "index", out).returncode == 0
    assert (out / "README.md").read_text() == card


def test_its_option_is_one_like_the_others(installed: Path, faces: Path, tmp_path: Path) -> None:
    help_ = " ".join(_run(installed, "export", "--help").stdout.split())
    assert "--faces PATH Faces: a folder or zip of pictures with faces.csv." in help_
    words = ("export", "--format", "wds", "--faces", faces, "--out", tmp_path / "out")
    done = _run(installed, *words, "--alignment", "raw")
    assert done.returncode == 2 and "--faces has no raw pictures" in done.stderr
    (faces / "faces.csv").unlink()
    done = _run(installed, *words)
    assert done.returncode == 2 and "has no faces.csv" in done.stderr


def test_a_data_set_that_cannot_be_loaded_is_one_error(installed: Path, faces: Path, tmp_path: Path) -> None:
    (installed / "lpff_shards_faces.py").write_text("import nothing_of_that_name")
    done = _run(installed, "export", "--format", "wds", "--faces", faces, "--out", tmp_path / "out")
    assert done.returncode == 2 and "the data set faces cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be loaded" in _run(installed, "export", "--help").stdout
    (installed / "lpff_shards_faces.py").write_text(
        "from lpff_shards.schemas.sources import SourceSpec, Terms\n"
        "class Faces:\n"
        "    spec = SourceSpec('faces', 'Faces', '', Terms('Faces', '', ''))\n"
        "    def __init__(self, path, alignment): pass\n"
        "    def inventory(self): return {}['faces.csv']\n"
    )
    done = _run(installed, "export", "--format", "wds", "--faces", faces, "--out", tmp_path / "out")
    assert done.returncode == 2 and "the data set faces cannot be read by lpff_shards_faces:Faces" in done.stderr
    assert "Traceback" not in done.stderr
    assert _run(installed, "export", "--format", "wds", "--demo", 1, "--out", tmp_path / "demo").returncode == 0


def test_without_it_the_option_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="the data set 'faces' is not known"):
        sources(SourceOptions(others={"faces": "x"}))
    done = _run(tmp_path, "export", "--format", "wds", "--faces", "x", "--out", tmp_path / "out")
    assert done.returncode == 2 and "--faces" in done.stderr
