"""Text of others on its way out: nothing in it does anything to a terminal, a page, a table or a parser."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dataset_factories import edit, write_lpff
from hypothesis import given
from hypothesis import strategies as st
from running import Done, call, run

from lpff_shards.errors import printable
from lpff_shards.schemas.text import as_json, csv_cell, html, markdown, markdown_url

Call = Callable[..., Done]
ESCAPES = "\x1b]0;OWNED\x07\x1b[2J\u202e\x9b"
AUTHOR = f"=cmd|'/C calc'!A0 山田 {ESCAPES}"
URL = "https://x/) <script>alert(1)</script>\n\n# License: public domain\n\n[click](javascript:alert(1)"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return lambda *args: call(capsys, monkeypatch, *args)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LPFF with a hostile author and URL, and a picture of a hostile name that has no camera."""
    root = write_lpff(tmp_path_factory.mktemp("hostile") / "lpff", alignments=["eg3d"])
    credit = {"photo_url": URL, "username": AUTHOR, "title": "@SUM(1)"}
    edit(root / "info.json", lambda all: {id: {"image_info": one["image_info"] | credit} for id, one in all.items()})
    (root / f"crop/eg3d/x{ESCAPES}_01.png").write_bytes(b"junk")
    return root


@given(st.text())
def test_each_place_gets_text_alone(text: str) -> None:
    assert printable(text).isprintable()
    line = markdown(text)
    assert line.isprintable()
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>()#+!|~&$]", line)
    assert not re.match(r"[-=]+(?: |$)|[0-9]+\.", line)
    assert not re.search("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\u202e]", str(html(text)))
    shown = as_json({"a": text})
    assert shown.isascii() and "\x7f" not in shown and json.loads(shown) == {"a": text}
    assert json.loads(as_json({"path": "\udcff"})) == {"path": "\udcff"}


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs"])))
def test_a_cell_is_no_formula_and_gives_its_text_again(text: str) -> None:
    cell = csv_cell(text)
    assert cell[:1] not in tuple("=+-@＝＋－＠")
    assert cell.removeprefix("'") == text
    assert cell == text or text[0] in "=+-@'＝＋－＠"


def test_only_links_of_the_web_are_links() -> None:
    assert markdown_url("https://www.flickr.com/photos/1@N00/2/") == "https://www.flickr.com/photos/1@N00/2/"
    assert markdown_url("https://x.org/_a_(b)") == "<https://x.org/_a_(b)>"
    assert markdown_url("javascript:alert(1)") == r"javascript:alert\(1\)"
    assert markdown_url("https://x/><b>") == r"https\://x/\>\<b\>"
    assert markdown("www.x.org http://x") == r"www\.x.org http\://x"


def test_an_export_of_hostile_text_is_text(hostile: Path, tmp_path: Path, command: Call) -> None:
    out = tmp_path / "out"
    export = ("export", "--format", "wds", "--lpff", hostile, "--on-error", "skip", "--workers", 1, "--out", out)
    for done in (
        *(command(*export, "--dry-run"), command(*export), command(*export), command("verify", "-v", out)),
        *(command("trace", "100004356@N06", out), command("trace", f"x{ESCAPES}_01", out), command("index", out)),
    ):
        assert done.status == 0, done.err
        assert (done.out + done.err).replace("\n", "").isprintable()
    assert "\\x1b]0;OWNED" in command(*export).out
    page = (out / "ATTRIBUTION.md").read_text()
    assert page.replace("\n", "").isprintable() and "<script>" not in page and "\n# License" not in page
    assert "](javascript" not in page.replace("\\](", "") and AUTHOR not in page
    with (out / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as file:
        (row, *_) = csv.DictReader(file)
    escaped = AUTHOR.translate({27: "\\x1b", 7: "\\x07", 0x202E: "\\u202e", 0x9B: "\\x9b"})
    assert (row["author"], row["title"]) == (f"'{escaped}", "'@SUM(1)")
    # The ledger holds what the source has.
    assert json.loads(command("trace", AUTHOR, out, "--json").out)["samples"][0]["author"] == AUTHOR
    edit(out / "manifest.json", lambda all: {**all, "name": "\x1b]0;OWNED\x07"})
    done = command("verify", out)
    assert done.status == 1
    assert (done.out + done.err).replace("\n", "").isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "locale"])
def test_output_in_any_locale(hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    settings = {"PYTHONIOENCODING": encoding}
    if encoding == "locale":
        settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "out"
    export = ["export", "--format", "wds", "--lpff", str(hostile), "--on-error", "skip", "--workers", "1"]
    looked_up = ["trace", "100004356@N06", str(out)]
    commands = [[*export, "--out", str(out)], looked_up, [*looked_up, "--json"], ["verify", str(out)], ["export", "-h"]]
    code = f"""
import sys
from lpff_shards import cli
for status, *words in {[[0, *words] for words in commands] + [[1, "trace", "山", str(out)]]!r}:
    sys.argv = ["lpff-shards", *words]
    try:
        cli.main()
    except SystemExit as error:
        assert error.code == status, (words, error.code)
"""
    script = tmp_path / "script.py"
    script.write_text(code, "utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"Near it" in done.stderr
    assert "山田" in (out / "ATTRIBUTION.csv").read_text("utf-8")


def test_an_error_of_the_command_line_is_one_line(command: Call) -> None:
    done = command("export")
    assert done.status == 2
    assert done.err == (
        "lpff-shards: Missing option '--format'. Choose from: wds, tfrecord, zip, parquet, arrayrecord. "
        "See lpff-shards export --help\n"
    )


def test_totals_agree(hostile: Path, tmp_path: Path) -> None:
    lpff = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    broken = next((lpff / "crop/eg3d").iterdir())
    broken.write_bytes(broken.read_bytes()[:100])
    (lpff / "crop/eg3d/odd_01.png").write_bytes(b"junk")
    export = ("export", "--format", "wds", "--lpff", lpff, "--on-error", "skip", "--shards", 2)
    done = run(*export, "--workers", 1, "--out", tmp_path / "out")
    assert done.returncode == 0
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    counts = manifest["counts"]
    assert counts == {"planned": 6, "written": 4, "skipped": 2, "left_out": 1}
    assert "  4 samples written, 2 left out, " in done.stderr
    assert "skipped 1 picture, such as odd_01" in done.stderr
    assert "lpff: 4 samples in 2 shards" in done.stdout
    assert "  left out: 3 (1 picture and 2 samples, listed" in done.stdout
