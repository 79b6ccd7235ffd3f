"""The command `report` and `export --report`: what they write, where, and what they refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import undecodable, write_lpff
from running import Done, call, run, run_after
from sealing import edit_sealed

from lpff_shards import export, read_manifest
from lpff_shards.api import compare_rules, plan_export
from lpff_shards.formats.registry import get_format
from lpff_shards.options.export import ExportOptions, PictureOptions, RunOptions, ShardOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.report import write
from lpff_shards.report.contact_sheet import of_export, of_plan, sheet
from lpff_shards.report.facts import after, export_facts, plan_facts
from lpff_shards.schemas.filenames import PLOTS
from lpff_shards.sidecars.sample_index import SampleIndex

Call = Callable[..., Done]
DEMO = ("--demo", 12, "--resolution", 16, "--workers", 1)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs lpff-shards in this process."""
    return lambda *args: call(capsys, monkeypatch, *args)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plots: they take the time, and are tested by themselves."""
    monkeypatch.setattr(write, "draw_all", lambda *_: {})


def test_the_report_of_an_export(tmp_path: Path, command: Call) -> None:
    out = tmp_path / "out"
    assert command("export", "--format", "wds", *DEMO, "--rebalance", "lpff", "--out", out).status == 0
    done = command("report", out)
    assert (done.status, done.err) == (0, "")
    assert f"in {out}/report/index.html" in done.out
    page = (out / "report/index.html").read_text()
    assert f"<h1>{read_manifest(out).name}</h1>" in page
    drawn = {path.stem for path in (out / "report").glob("*.png")}
    assert drawn == {*PLOTS, "contact-sheet"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (out / "report").glob("*.png"))
    assert command("verify", out).status == 0


def test_a_user_s_configuration_of_matplotlib_changes_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("export", "--format", "wds", "--demo", 2, "--resolution", 16, "--out", "out").returncode == 0
    assert run("report", "out", "--out", "plain.html").returncode == 0
    settings = tmp_path / "matplotlibrc"
    settings.write_text("axes.facecolor: red\nfont.size: 40\nno such: 1\n")
    assert run("report", "out", "--out", "set.html").returncode == 0
    assert Path("set.html").read_bytes() == Path("plain.html").read_bytes()
    settings.unlink()
    set_before = "import matplotlib; matplotlib.rcParams.update({'axes.facecolor': 'red', 'font.size': 40.0})"
    assert run_after(f"{set_before}\n", "report", "out", "--out", "set.html").returncode == 0
    assert Path("set.html").read_bytes() == Path("plain.html").read_bytes()


def test_settings_that_matplotlib_cannot_read_are_an_error_before_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("export", "--format", "wds", "--demo", 2, "--resolution", 16, "--out", "out", "--report", "set.html")
    Path("matplotlibrc").write_bytes(b"font.size: 40\n\xff\n")
    first = run(*given)
    Path("matplotlibrc").unlink()
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    for done in (first, run(*given)):
        assert done.returncode == 2
        assert "matplotlib cannot be imported" in done.stderr and "Check matplotlibrc and MPLBACKEND" in done.stderr
        assert "Traceback" not in done.stderr
    assert not Path("out").exists()


def test_a_manifest_that_names_another_split_is_reported_as_it_is(tmp_path: Path, command: Call, undrawn: None) -> None:
    out = tmp_path / "out"
    assert command("export", "--format", "wds", *DEMO, "--out", out).status == 0
    edit_sealed(out / "manifest.json", lambda all: all["shards"][0].update(split="nosuch"))
    assert command("report", out).status == 0
    assert command("index", out).status == 0
    assert "the manifest says nosuch" in command("verify", out).out


def test_json_tells_where_it_is_and_how_even_the_poses_are(tmp_path: Path, command: Call, undrawn: None) -> None:
    out, page = tmp_path / "out", tmp_path / "elsewhere/r.html"
    command("export", "--format", "tfrecord", *DEMO, "--rebalance", "uniform", "--as", "weights", "--out", out)
    told = json.loads(command("report", out, "--out", page, "--json").out)
    assert told["page"] == str(page) and page.stat().st_size == told["bytes"]
    assert told["plots"] == [str(tmp_path / "elsewhere/r-plots/contact-sheet.png")]
    assert all(Path(name).is_file() for name in told["plots"])
    assert told["samples"] == 24 and told["unreadable"] == {}
    assert 0 < told["training"]["entropy"] < 5 and told["training"]["effective"] < 24
    assert not (out / "report").exists()


def test_export_writes_the_report_that_the_command_writes(tmp_path: Path, command: Call, undrawn: None) -> None:
    out, one, other = tmp_path / "out", tmp_path / "one.html", tmp_path / "other.html"
    done = command("export", "--format", "wds", *DEMO, "--out", out, "--report", one, "--json")
    assert json.loads(done.out)["samples"] == 24
    assert str(one) in done.err
    command("report", out, "--out", other)
    assert one.read_bytes() == other.read_bytes()


def test_a_report_named_like_the_export_leaves_its_folder_alone(tmp_path: Path, command: Call, undrawn: None) -> None:
    out = tmp_path / "shards"
    command("export", "--format", "wds", *DEMO, "--out", out)
    before = sorted(out.iterdir())
    (out / "yaw.png").write_text("mine")
    told = json.loads(command("report", out, "--out", tmp_path / "shards.html", "--json").out)
    assert told["plots"] == [str(tmp_path / "shards-plots/contact-sheet.png")]
    assert sorted(out.iterdir()) == sorted([*before, out / "yaw.png"])


@pytest.mark.parametrize("name", ["report.html", "report/other.html", "../out/r.html"])
def test_in_the_export_s_folder_the_report_has_one_place(name: str, tmp_path: Path, command: Call) -> None:
    """Elsewhere in it `--update` would not take it away, with the photos that were withdrawn."""
    out = tmp_path / "out"
    given = ("export", "--format", "wds", *DEMO, "--out", out)
    for dry in ((), ("--dry-run",)):
        done = command(*given, *dry, "--report", out / name)
        assert done.status == 2 and "is in the export's own folder" in done.err
        assert not out.exists()
    command(*given)
    done = command("report", out, "--out", out / name)
    assert done.status == 2 and "report/index.html" in done.err


def test_the_report_of_a_plan_writes_nothing_else(tmp_path: Path, command: Call, undrawn: None) -> None:
    out, page = tmp_path / "out", tmp_path / "plan.html"
    given = ("export", "--format", "wds", *DEMO, "--rebalance", "uniform", "--out", out, "--dry-run")
    assert command(*given, "--report", page).status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan-plots", "plan.html"]
    text = page.read_text()
    assert "nothing is written yet" in text
    assert "The rules of rebalancing on these pictures" in text
    assert text.count("data:image/webp") == len(sheet(plan_facts(*_planned(out))).cells)


def _options(out: Path, **other: Any) -> ExportOptions:
    given: dict[str, Any] = {"format": "wds", "mix": MixOptions(rebalance="uniform")}
    return ExportOptions(
        out=str(out),
        sources=SourceOptions(demo=12),
        picture=PictureOptions(resolution=16),
        run=RunOptions(workers=1),
        **given | other,
    )


def _planned(out: Path, **other: Any) -> tuple[Any, Any]:
    plan = plan_export(_options(out, **other))
    return plan, compare_rules(plan, _options(out, **other))


@pytest.mark.parametrize("image", ["keep", "raw"])
@pytest.mark.parametrize("format", ["wds", "tfrecord", "zip", "parquet", "arrayrecord"])
def test_an_export_has_the_facts_and_the_pictures_of_its_plan(format: Any, image: Any, tmp_path: Path) -> None:
    if image == "raw" and not get_format(format).raw:
        image = "stored-png"
    given: dict[str, Any] = {"format": format, "mix": MixOptions(rebalance="lpff", splits="train=0.7,val=0.3")}
    given["shards"] = ShardOptions() if format == "zip" else ShardOptions(shards=4)
    options = _options(tmp_path, **given)
    options = replace(options, picture=PictureOptions(image=image, resolution=16))
    plan = plan_export(options)
    planned = plan_facts(plan, compare_rules(plan, options))
    manifest = export(options)
    with SampleIndex.open(tmp_path, manifest) as ledger:
        found = export_facts(tmp_path, manifest, ledger)
        rows = list(range(len(found)))
        shown = of_export(tmp_path, manifest, ledger)(rows)
    for column in ("yaw", "pitch", "has_camera", "mirrored", "replica", "copies", "weight", "width", "height"):
        np.testing.assert_array_equal(getattr(found, column), getattr(planned, column), err_msg=column)
    for labels in ("dataset", "split", "license"):
        ours, plans = getattr(found, labels), getattr(planned, labels)
        assert [ours.names[i] for i in ours.codes] == [plans.names[i] for i in plans.codes]
    assert [(s.file, s.split, s.samples) for s in found.manifest.shards] == [
        (s.file, s.split, s.samples) for s in planned.manifest.shards
    ]
    assert found.pool is not None and planned.pool is not None
    assert sorted(found.pool.tolist()) == sorted(planned.pool.tolist())
    assert planned.balances is not None
    assert after(found).effective == pytest.approx(planned.balances.chosen.effective)
    assert after(found).entropy == pytest.approx(planned.balances.chosen.entropy)
    assert sheet(found) == sheet(planned)
    made = of_plan(plan)(rows)
    assert [one.key for one in shown] == [one.key for one in made] == list(plan.keys)
    for one, other in zip(shown, made, strict=True):
        assert one.picture is not None and other.picture is not None
        np.testing.assert_array_equal(np.asarray(one.picture), np.asarray(other.picture))


def test_the_report_goes_with_the_withdrawn_photos(tmp_path: Path, command: Call, undrawn: None) -> None:
    out, withdrawn = tmp_path / "out", tmp_path / "withdrawn.txt"
    withdrawn.write_text("")
    given = ("export", "--format", "wds", *DEMO, "--shards", 4, "--exclude", withdrawn, "--out", out)
    page = out / "report/index.html"
    command(*given, "--report", page)
    (out / "report/mine.txt").write_text("kept")
    command(*given)
    assert page.is_file()
    withdrawn.write_text("00000003\n")
    assert command(*given, "--update").status == 0
    assert [path.name for path in (out / "report").iterdir()] == ["mine.txt"]
    (out / "report/mine.txt").unlink()
    command("report", out)
    assert "samples removed later by --update" in page.read_text()
    assert command(*given[:-4], "--seed", 1, "--out", out, "--overwrite").status == 0
    assert not (out / "report").exists()


def test_a_damaged_picture_is_named_and_the_rest_shown(tmp_path: Path, command: Call, undrawn: None) -> None:
    out = tmp_path / "out"
    command("export", "--format", "wds", "--demo", 12, "--workers", 1, "--resolution", 16, "--out", out)
    (tar,) = out.glob("*.tar")
    data = bytearray(tar.read_bytes())
    at = data.index(b"IDAT")
    data[at + 4 : at + 40] = bytes(36)
    tar.write_bytes(data)
    done = command("report", out)
    assert done.status == 0
    assert done.out.count("cannot be shown") == 1 and "damaged" in done.out
    page = (out / "report/index.html").read_text()
    assert "1 of these pictures cannot be read" in page and page.count("data:image/webp") > 5
    tar.unlink()
    done = command("report", out)
    assert done.status == 0 and "data:image/webp" not in (out / "report/index.html").read_text()


def test_a_source_picture_that_does_not_decode_is_named(tmp_path: Path, command: Call, undrawn: None) -> None:
    write_lpff(tmp_path / "lpff")
    for picture in (tmp_path / "lpff/crop/eg3d").iterdir():
        picture.write_bytes(undecodable())
    page = tmp_path / "plan.html"
    done = command(
        "export", "--format", "wds", "--lpff", tmp_path / "lpff", "--out", "x", "--dry-run", "--report", page
    )
    assert done.status == 0
    assert "does not decode" in done.err and "does not decode" in page.read_text()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_what_would_keep_a_report_from_being_written_is_said_first(
    dry: tuple[str, ...], tmp_path: Path, command: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("export", "--format", "wds", *DEMO, "--out", tmp_path / "out", *dry, "--report")
    done = command(*given, tmp_path / "report.pdf")
    assert done.status == 2 and ".html" in done.err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = command(*given, tmp_path / "report.html")
    assert done.status == 2 and 'pip install "lpff-shards[report]"' in done.err
    assert not (tmp_path / "out").exists()


def test_there_must_be_an_export_and_its_ledger(tmp_path: Path, command: Call) -> None:
    done = command("report", tmp_path)
    assert done.status == 2 and "has no manifest.json" in done.err
    command("export", "--format", "wds", *DEMO, "--out", tmp_path / "out")
    (tmp_path / "out/samples.sqlite").unlink()
    done = command("report", tmp_path / "out")
    assert done.status == 2 and "lpff-shards index" in done.err


def test_files_of_others_are_not_replaced_by_plots(tmp_path: Path) -> None:
    assert run("export", "--format", "wds", "--demo", 2, "--out", tmp_path / "out").returncode == 0
    plots = tmp_path / "set-plots"
    plots.mkdir()
    (plots / "yaw.png").write_text("mine")
    done = run("report", tmp_path / "out", "--out", tmp_path / "set.html")
    assert done.returncode == 2
    assert f"{plots} already holds yaw.png" in done.stderr
    assert (plots / "yaw.png").read_text() == "mine"
    (plots / "yaw.png").unlink()
    for _ in range(2):
        assert run("report", tmp_path / "out", "--out", tmp_path / "set.html").returncode == 0


def test_a_report_in_a_data_set_is_refused(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "LPFF")
    command = ("export", "--format", "wds", "--lpff", root, "--out", tmp_path / "out")
    done = run(*command, "--report", root / "crop/eg3d/r.html")
    assert done.returncode == 2
    assert f"--report {root / 'crop/eg3d'} is the folder of --lpff or in it" in done.stderr
