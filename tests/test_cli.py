"""The command line's manners: what is printed where, for people, terminals and machines."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest
from dataset_factories import LPFF_IDS, UP_IDS, write_ffhq_eg3d, write_lpff, write_unsplash_pexels
from running import call, run

import lpff_shards
from lpff_shards.commandline.options import size

Capsys = pytest.CaptureFixture[str]
Monkeypatch = pytest.MonkeyPatch


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("256MB", 256_000_000),
        ("1.5 GB", 1_500_000_000),
        ("1GiB", 2**30),
        ("64kib", 65536),
        ("100k", 100_000),
        ("512M", 512_000_000),
        ("512MB", 512_000_000),
        ("1G", 10**9),
        ("1.5GB", 1_500_000_000),
        ("1T", 10**12),
        ("2TB", 2 * 10**12),
        ("0.5 TiB", 2**39),
        ("7 b", 7),
        ("-1", None),
        ("MB", None),
        ("1PB", None),
        ("1Ki", None),
        ("1IB", None),
        ("nan", None),
        ("1e9", None),
        ("", None),
        ("9" * 400, None),
    ],
)
def test_sizes(text: str, number: int | None) -> None:
    if number is None:
        with pytest.raises(click.BadParameter, match=r"is not a size|more bytes than any disk"):
            size(text)
    else:
        assert size(text) == number


@pytest.fixture
def three(tmp_path: Path) -> list[object]:
    """Options that give FFHQ, LPFF and Unsplash-Pexels."""
    ffhq = write_ffhq_eg3d(tmp_path / "ffhq", 2)
    lpff = write_lpff(tmp_path / "lpff", LPFF_IDS, ["eg3d"])
    unsplash = write_unsplash_pexels(tmp_path / "unsplash", UP_IDS, ["eg3d"])
    return ["--unsplash-pexels", unsplash, "--lpff", lpff, "--ffhq", ffhq]


def test_dry_run_prints_the_plan_and_writes_nothing(
    three: list[object], tmp_path: Path, capsys: Capsys, monkeypatch: Monkeypatch
) -> None:
    out = tmp_path / "out"
    args = ("export", "--format", "wds", *three, "--out", out, "--shards", 4, "--dry-run")
    done = call(capsys, monkeypatch, *args)
    assert done.status == 0
    assert not out.exists()
    assert "ffhq_lpff_unsplash_pexels: 16 samples in 4 wds shards" in done.out
    assert "sources: ffhq 4, lpff 6, unsplash_pexels 6" in done.out
    assert "ffhq_lpff_unsplash_pexels-train-000000.tar ... ffhq_lpff_unsplash_pexels-train-000003.tar" in done.out
    assert "unknown 4" in done.out
    assert "note: --ffhq" in done.out
    machine = json.loads(call(capsys, monkeypatch, *args, "--json").out)
    assert machine["samples"] == 16 == sum(shard["samples"] for shard in machine["shards"])
    assert machine["bytes"] == sum(shard["bytes"] for shard in machine["shards"])
    assert machine["sources"] == {"ffhq": 4, "lpff": 6, "unsplash_pexels": 6}
    assert len(machine["notes"]) == 1


def test_the_plan_printed_is_the_one_written(
    three: list[object], tmp_path: Path, capsys: Capsys, monkeypatch: Monkeypatch
) -> None:
    args = ("export", "--format", "tfrecord", *three, "--out", tmp_path / "out", "--samples-per-shard", 5, "--json")
    plan = json.loads(call(capsys, monkeypatch, *args, "--dry-run").out)
    written = call(capsys, monkeypatch, *args)
    manifest = json.loads(written.out)
    assert manifest == {
        k: v for k, v in json.loads((tmp_path / "out/manifest.json").read_text()).items() if k != "seal"
    }
    assert manifest["plan"] == plan["plan"]
    assert [s["file"] for s in manifest["shards"]] == [s["file"] for s in plan["shards"]]
    assert [s["samples"] for s in manifest["shards"]] == [s["samples"] for s in plan["shards"]]
    assert manifest["sources"] == plan["sources"]


def test_the_order_of_options_does_not_matter_to_the_source_order(
    three: list[object], tmp_path: Path, capsys: Capsys, monkeypatch: Monkeypatch
) -> None:
    from reading import read_wds

    call(capsys, monkeypatch, "export", "--format", "wds", *three, "--out", tmp_path / "out", "--no-shuffle")
    keys = list(read_wds(tmp_path / "out"))
    ffhq = [f"ffhq_{n:05d}{m}" for n in range(2) for m in ("", "_m")]
    lpff = [f"lpff_{id.replace('@', '-')}{m}" for id in sorted(LPFF_IDS) for m in ("", "_m")]
    unsplash = [f"unsplash_pexels_{id}{m}" for id in sorted(UP_IDS) for m in ("", "_m")]
    assert keys == ffhq + lpff + unsplash


def test_ffhq_s_own_mirrors_pass_through(tmp_path: Path, capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    from reading import read_wds

    root = write_ffhq_eg3d(tmp_path / "ffhq", 2, "index")
    call(capsys, monkeypatch, "export", "--format", "wds", "--ffhq", root, "--out", tmp_path / "out")
    found = read_wds(tmp_path / "out")
    assert len(found) == 4
    mirror = found["ffhq_img00000002_m"]
    assert mirror.picture == (root / "00000/img00000003.png").read_bytes()
    labels = dict(json.loads((root / "dataset.json").read_text())["labels"])
    assert mirror.camera.tolist() == pytest.approx(labels["00000/img00000003.png"], rel=1e-6)
    assert mirror.fields["mirrored"] is True
    assert mirror.fields["source_id"] == "img00000002"
    assert "mirrored" in mirror.fields["changes"]


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lpff_shards", "export", "--format", "wds", "--demo", "8", "--shards", "4"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], stderr=theirs, stdout=subprocess.PIPE, text=True
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    text = shown.decode()
    assert "16/16" in text
    assert "MB/s" in text
    assert "\r" in text
    assert out.startswith("demo: 16 samples in 4 shards")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # Linux says EIO once the other side is gone
        return b""


def test_version_and_help(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    assert lpff_shards.__version__ in call(capsys, monkeypatch, "--version").out
    for command in ("export", "verify"):
        done = call(capsys, monkeypatch, command, "--help")
        assert done.status == 0
        assert "Exit status" in done.out or "Examples" in done.out


def test_unknown_commands_and_options(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    assert call(capsys, monkeypatch, "exprt").status == 2
    assert call(capsys, monkeypatch, "export", "--shard", "3").status == 2
    assert call(capsys, monkeypatch, "verify").status == 2


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path: Path) -> None:
    assert run("export", "--format", "wds", "--demo", 2, "--out", tmp_path / "out").returncode == 0
    command = f"{sys.executable} -m lpff_shards verify --json {tmp_path / 'out'} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_left_out_pictures_are_printed(tmp_path: Path, capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    root = write_lpff(tmp_path / "lpff", LPFF_IDS, ["eg3d"])
    (root / f"crop/eg3d/{LPFF_IDS[0]}.png").write_bytes(b"")
    args = ("export", "--format", "wds", "--lpff", root, "--out", tmp_path / "out", "--on-error", "skip")
    done = call(capsys, monkeypatch, *args, "--no-mirror", "--workers", 1)
    assert done.status == 0
    assert "left out: 1" in done.out
    assert f"lpff/crop/eg3d/{LPFF_IDS[0]}.png: {LPFF_IDS[0]}: the file is empty" in done.out
    assert str(tmp_path) not in (tmp_path / "out/manifest.json").read_text()
    strict = call(capsys, monkeypatch, *args[:-2], "--no-mirror", "--workers", 1)
    assert strict.status == 2, "a shard that skipped a picture is not taken for whole without --on-error skip"


@pytest.mark.parametrize("words", [["export", "--format", "wds", "--demo", "--out", "out"], ["verify", "."], []])
def test_windows_is_refused_in_a_line(
    capsys: Capsys, monkeypatch: Monkeypatch, tmp_path: Path, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "platform", "win32")
    done = call(capsys, monkeypatch, *words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("lpff-shards: Windows is not supported. ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--help"], ["export", "-h"], ["--version"]])
def test_help_is_printed_on_windows_too(capsys: Capsys, monkeypatch: Monkeypatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert call(capsys, monkeypatch, *words).status == 0
