"""The page of a report: every section for every data set, odd ones too, well-formed and safe."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from msgspec import structs
from reporting import facts, gray, pool, shard

from lpff_shards.errors import ShardsError
from lpff_shards.manifest import Counts
from lpff_shards.planning.rebalance import Balance, Balances
from lpff_shards.report import plots, write
from lpff_shards.report.contact_sheet import Rows, Shown
from lpff_shards.report.facts import Facts, Labels
from lpff_shards.report.page import _tables, _tiles
from lpff_shards.schemas.filenames import OLD_PLOTS, PLOTS, report_files
from lpff_shards.schemas.record import LeftOut, Tombstone

HEADINGS = (
    "Poses",
    "Contact sheet",
    "Rebalancing and replicas",
    "Sources and licenses",
    "Splits and shards",
    "Skipped, filtered and taken out",
    "How it was made",
)
VOID = ("meta", "link", "img", "source", "br")
HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """A page taken apart; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._open = "", list[str]()
        self.headings: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def _balances(made: Facts) -> Balances:
    none, bad = Balance("none", len(made), float(len(made)), 3.2), Balance("lpff", 0, 0.0, 0.0, "cameras do not spread")
    return Balances(9, none, (none, bad))


def _odd() -> dict[str, Facts]:
    plain = facts()
    one = facts(1, shards=1)
    flat = {"has_camera": np.zeros(60, np.bool_), "yaw": np.zeros(60, "f4"), "pitch": np.zeros(60, "f4")}
    weighted = {"format": "wds", "rebalance": "uniform", "as": "weights"}
    splits = ("train", "val", "test")
    return {
        "plain": replace(facts(notes=("a note",)), pool=pool(plain)),
        "one sample": replace(one, pool=pool(one)),
        "without cameras": facts(options={"rebalance": "none"}, **flat),
        "one pose": facts(yaw=np.full(60, 0.3, "f4"), pitch=np.full(60, -0.1, "f4")),
        "a zip": facts(shards=1, format="zip", copies=np.arange(60) % 4 + 1, replica=np.zeros(60, np.int64)),
        "weights": facts(options=weighted, weight=np.linspace(0.5, 8, 60).astype("f4"), replica=np.zeros(60, np.int64)),
        "a plan": replace(
            facts(planned=True, width=np.zeros(60, np.int64), options={"rebalance": "none"}), balances=_balances(plain)
        ),
        "sizes and splits": facts(
            width=np.arange(60) + 1,
            shards=3,
            split=Labels(np.repeat(np.arange(3), 20).astype(np.int32), splits),
            mirrored=np.ones(60, np.bool_),
        ),
        "no training split": facts(split=Labels(np.zeros(60, np.int32), ("all",))),
    }


def _with_splits(made: Facts, splits: Sequence[str]) -> Facts:
    shards = [structs.replace(one, split=split) for one, split in zip(made.manifest.shards, splits, strict=True)]
    return replace(made, manifest=structs.replace(made.manifest, shards=tuple(shards)))


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small plots, which are drawn faster."""
    monkeypatch.setattr(plots, "DPI", 24)


def _written(made: Facts, out: Path, pictures: Any = gray) -> Page:
    write.write(made, pictures, write.target(out / "r.html"))
    return Page((out / "r.html").read_text())


@pytest.mark.parametrize("name", _odd())
def test_every_section_is_there_for_odd_sets(name: str, tmp_path: Path, coarse: None) -> None:
    made = _odd()[name]
    if name == "sizes and splits":
        made = _with_splits(made, made.split.names)
    if name == "no training split":
        made = _with_splits(made, ("all",) * len(made.manifest.shards))
    page = _written(made, tmp_path)
    assert tuple(page.headings) == HEADINGS
    assert not re.search(r"\bnan\b|\binf\b|None", page.text)
    assert f"{len(made):,}" in page.text
    assert made.manifest.plan in page.text
    assert all(image["alt"] for image in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"] for attrs in page.all("a")} <= {f"#{id}" for id in ids}
    written = {path.name for path in (tmp_path / "r-plots").iterdir()}
    assert "contact-sheet.png" in written
    assert written <= {Path(name).name for name in report_files()}
    if made.has_camera.any():
        assert {"poses-by-source.png", "yaw.png", "pitch.png"} <= written
    else:
        assert not {"poses-by-source.png", "yaw.png", "pitch.png"} & written
        assert "No sample has a known camera, so there are no poses to show." in page.text


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plots: they take the time, and are tested by themselves."""
    monkeypatch.setattr(write, "draw_all", lambda *_: {})


def test_names_are_those_of_the_plots(coarse: None) -> None:
    assert set(plots.draw_all(facts())) == set(PLOTS)


def test_a_new_report_takes_the_plots_that_it_lacks_away(tmp_path: Path, undrawn: None) -> None:
    write.write(facts(), gray, write.target(tmp_path / "r.html"))
    for name in (*PLOTS, *OLD_PLOTS):
        (tmp_path / f"r-plots/{name}.png").write_text("of an earlier report")
    (tmp_path / "r-plots/mine.png").write_text("mine")
    write.write(facts(), gray, write.target(tmp_path / "r.html"))
    assert sorted(path.name for path in (tmp_path / "r-plots").iterdir()) == ["contact-sheet.png", "mine.png"]


def test_hostile_names_stay_text(tmp_path: Path, undrawn: None) -> None:
    made = facts(
        filtered={HOSTILE: 1},
        counts=Counts(60, 60, 0, 1),
        skipped=(LeftOut(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        tombstones=(Tombstone(HOSTILE, HOSTILE, ()),),
        name=HOSTILE,
        options={HOSTILE: HOSTILE, "rebalance": "none"},
        notes=(HOSTILE,),
        license=Labels(np.zeros(60, np.int32), (HOSTILE,)),
        dataset=Labels(np.zeros(60, np.int32), (HOSTILE,)),
        split=Labels(np.zeros(60, np.int32), (HOSTILE,)),
    )
    made = replace(made, manifest=structs.replace(made.manifest, shards=(shard(HOSTILE, HOSTILE),) * 4))
    page = _written(made, tmp_path, lambda rows: [Shown(HOSTILE, None, HOSTILE) for _ in rows])
    assert not page.all("script")
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "49" not in re.findall(r"&(\d+)<img", page.text)
    assert page.text.count(HOSTILE) >= 12
    assert not page.all("img")


def test_the_page_asks_for_nothing(tmp_path: Path, undrawn: None) -> None:
    page = _written(facts(), tmp_path)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    loaded = [attrs[name] for _, attrs in page.tags for name in ("src", "srcset") if name in attrs]
    assert loaded and all(f"{value}".startswith("data:") for value in loaded)
    assert "url(" not in (tmp_path / "r.html").read_text() and "@import" not in (tmp_path / "r.html").read_text()


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path, undrawn: None) -> None:
    def pictures(rows: Rows) -> list[Shown]:
        return [Shown("torn", None, "cut short") if i == 3 else shown for i, shown in enumerate(gray(rows))]

    made = facts()
    page = _written(made, tmp_path, pictures)
    assert "1 of these pictures cannot be read" in page.text
    assert "torn: cut short" in page.text
    assert len(page.all("img")) == len({attrs["alt"] for attrs in page.all("img")}) > 20


def test_what_was_left_out_is_told_with_counts_and_the_first_fifty_listed(tmp_path: Path, undrawn: None) -> None:
    listed = tuple(LeftOut(f"file{i}", f"id{i}", f"reason{i}") for i in range(60))
    page = _written(facts(counts=Counts(62, 60, 2, 58), filtered={"license": 7}, skipped=listed), tmp_path)
    assert re.search(r"filtered: license\s+7\s", page.text)
    assert "reason49" in page.text and "reason50" not in page.text
    assert "and 10 more" in page.text


def test_licenses_are_flagged_by_what_they_ask_for() -> None:
    rows = {row[0]: row[-1] for row in _tables(facts())["licenses"]}
    assert rows == {
        "CC-BY-2.0": ("attribution",),
        "CC-BY-NC-SA-2.0": ("attribution", "share-alike", "non-commercial"),
        "unknown": ("unknown",),
    }
    assert ("20", "unknown licenses") in _tiles(facts())


@pytest.mark.parametrize("out", ["report", "report.txt", "report.html/"])
def test_a_report_is_an_html_file(out: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ShardsError, match="is not the name of an HTML file"):
        write.target(tmp_path / out)


def test_a_report_appears_whole_or_not_at_all(tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write.target(tmp_path / "r.html")
    write.write(facts(), gray, target)
    before = (tmp_path / "r.html").read_bytes()

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ShardsError, match="No space left on device"):
        write.write(facts(seed=1), gray, target)
    assert (tmp_path / "r.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["contact-sheet.png", "r-plots", "r.html"]


def test_reports_of_equal_sets_are_equal(tmp_path: Path, undrawn: None) -> None:
    for name in ("a", "b"):
        write.write(facts(), gray, write.target(tmp_path / f"{name}.html"))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def _axes(draw: Callable[[Facts, Axes], None], made: Facts) -> list[Axes]:
    with rc_context(plots._style()):
        figure = Figure()
        draw(made, figure.add_subplot())
        figure.draw_without_rendering()
    return figure.axes


def test_few_samples_are_drawn_on_axes_that_can_be_read() -> None:
    one = facts(1, shards=1, options={"rebalance": "none"})
    for draw, axis in ((plots.by_source, "xy"), (plots.density, "xy"), (plots.yaw, "x"), (plots.pitch, "x")):
        ax = _axes(draw, one)[0]
        for name in axis:
            low, high = getattr(ax, f"get_{name}lim")()
            told = [label.get_text() for label in getattr(ax, f"get_{name}ticklabels")()]
            assert high - low >= 2 * plots.REACH_STEP and len(set(told)) == len(told) > 2


def test_of_many_samples_the_scatter_draws_some_and_says_so() -> None:
    (ax,) = _axes(plots.by_source, facts(plots.DOTS + 7))
    legend = ax.get_legend()
    assert legend is not None and legend.get_title().get_text() == "20,000 of 20,007 samples, chosen at random"
    assert len(ax.collections[0].get_offsets()) == plots.DOTS


def test_cells_and_bars_hold_every_pose() -> None:
    made = facts(4, yaw=np.radians([-180, 179.9, 0, 45]).astype("f4"), pitch=np.radians([-90, 90, 0, 1]).astype("f4"))
    mesh = _axes(plots.density, made)[0].collections[0]
    assert np.nansum(np.ma.filled(mesh.get_array(), np.nan)) * plots.CELL**2 == pytest.approx(4)
    for draw in (plots.yaw, plots.pitch):
        heights = [bar.get_height() for bar in _axes(draw, made)[0].patches]
        assert sum(heights) == pytest.approx(100)


def test_bars_before_and_after_have_the_same_edges() -> None:
    """Poses before rebalancing are whole degrees, which lie in the middle of bars and never on an edge."""
    made = facts(400, replica=np.zeros(400, np.int64))
    (ax,) = _axes(plots.yaw, replace(made, pool=pool(made)))
    line = next(patch for patch in ax.patches if isinstance(patch, Polygon))
    heights = {round(bar.get_height(), 9) for bar in ax.patches if isinstance(bar, Rectangle)}
    assert heights == {round(float(y), 9) for y in line.get_xy()[:, 1]}
