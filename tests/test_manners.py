"""Odd circumstances: closed or full streams, long names, scripts without a guard, errors of usage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from running import contents, run

from lpff_shards import ExportOptions, ShardsError, SourceOptions, export, verify_export

SMALL = ("export", "--format", "wds", "--demo", "2", "--no-mirror", "--resolution", "16")


@pytest.fixture(params=["buffered", "unbuffered"])
def output(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python buffers its output unless it is told otherwise, and then meets a full disk at the end."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1" if request.param == "unbuffered" else "")


def _shell(command: str, **options: object) -> subprocess.CompletedProcess[str]:
    text = f"{sys.executable} -m lpff_shards {command}"
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False, **options)


@pytest.mark.usefixtures("output")
@pytest.mark.parametrize(
    ("output", "streams"),
    [*(("buffered", streams) for streams in ("2>&-", ">&-", ">&- 2>&-", "2>/dev/full")), ("unbuffered", "2>/dev/full")],
    indirect=["output"],
)
def test_streams_that_take_nothing_do_not_stop_the_work(tmp_path: Path, streams: str) -> None:
    done = _shell(f"{' '.join(SMALL)} --out {tmp_path / 'out'} {streams}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert verify_export(tmp_path / "out").ok


@pytest.mark.usefixtures("output")
@pytest.mark.parametrize("command", ["--help", "verify --json {}"])
def test_an_output_that_is_full_is_one_error(tmp_path: Path, command: str) -> None:
    assert run(*SMALL, "--out", tmp_path / "out").returncode == 0
    done = _shell(f"{command.format(tmp_path / 'out')} >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "lpff-shards: standard output: No space left on device. Fix that and run it again\n"


@pytest.mark.parametrize(
    "command",
    [
        "exprt",
        "export",
        "export --format zip",
        "export --format wds",
        "export --shards x",
        "verify",
        "verify --workers 0 .",
    ],
)
def test_an_error_of_usage_is_one_line(command: str) -> None:
    done = _shell(command)
    assert done.returncode == 2
    assert done.stderr.startswith("lpff-shards: ")
    assert done.stderr.count("\n") == 1


LONG = ("--out out --lpff {}", "--demo --out {}", "--out ../out --ffhq . --ffhq-cameras {}")


@pytest.mark.parametrize("command", LONG)
def test_a_name_that_is_too_long_is_one_error(tmp_path: Path, command: str) -> None:
    done = _shell(f"export --format wds {command.format('x' * 300)}", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "File name too long" in done.stderr
    assert "Traceback" not in done.stderr


SCRIPT = """
from lpff_shards import ExportOptions, RunOptions, ShardOptions, SourceOptions, PictureOptions, export, verify_export
from pathlib import Path
from threading import Event, Thread

print("once")
Thread(target=Event().wait, daemon=True).start()
export(ExportOptions(
    format="wds", out=Path("out"), sources=SourceOptions(demo=2, mirror=False),
    picture=PictureOptions(resolution=16), shards=ShardOptions(shards=2), run=RunOptions(workers=2),
))
assert verify_export("out", workers=2).ok
"""


@pytest.mark.parametrize("how", ["file", "stdin"])
def test_a_script_needs_no_main_guard(tmp_path: Path, how: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, *(["script.py"] if how == "file" else ["-"])]
    done = subprocess.run(command, input=SCRIPT, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "once\n"
    assert run(*SMALL, "--shards", 2, "--out", tmp_path / "cli").returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "cli")


def test_paths_may_be_path_objects(tmp_path: Path) -> None:
    options = ExportOptions(format="wds", out=tmp_path / "out", sources=SourceOptions(lpff=tmp_path / "lpff"))
    assert (options.out, options.sources.lpff) == (str(tmp_path / "out"), str(tmp_path / "lpff"))
    with pytest.raises(ShardsError, match="lpff does not exist"):
        export(options)


@pytest.mark.parametrize("given", [{"lpff": ""}, {"demo": 2.5}, {"demo": True}])
def test_values_of_other_types_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ShardsError):
        SourceOptions(**given)


def test_pictures_of_several_kinds_are_noted(tmp_path: Path) -> None:
    from dataset_factories import LPFF_IDS, picture, write, write_lpff

    root = write_lpff(tmp_path / "lpff", LPFF_IDS, ["stylegan"])
    (root / f"crop/stylegan/{LPFF_IDS[0]}.png").unlink()
    write(root / f"crop/stylegan/{LPFF_IDS[0]}.jpg", picture("x", 8, "JPEG"))
    command = ("export", "--format", "wds", "--lpff", root, "--alignment", "stylegan", "--out", "x", "--dry-run")
    assert "several kinds (2 .png, 1 .jpg)" in run(*command).stdout
    assert "several kinds" not in run(*command, "--image", "png").stdout
