"""The report of an export with all options on, as a browser shows it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dataset_factories import write_lpff

from browser.chromium import chromium, complaints, requests, screenshot, show
from lpff_shards import read_manifest
from lpff_shards.cli import cli

WIDTHS = {"desktop": 1440, "phone": 390}
SCHEMES = ("light", "dark")
SECTIONS = {
    "Poses": "Camera positions around the head",
    "Contact sheet": "noses point to the left of the picture",
    "Rebalancing and replicas": "rebalanced by the rule uniform",
    "Sources and licenses": "share-alike",
    "Splits and shards": "Samples and shards by split",
    "Skipped, filtered and taken out": "is cut short",
    "How it was made": "Plan digest",
}
PICTURES = 700
# Each shard renders a picture anew, so there are few of them.
SHARDS = 4


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 5,000 samples: rebalanced, mirrored, in three splits, some licenses left out, some pictures bad."""
    root = tmp_path_factory.mktemp("browser")
    given = ["--demo", PICTURES, "--lpff", _bad_lpff(root / "LPFF"), "--resolution", 64, "--image", "jpeg"]
    mix = [
        "--rebalance",
        "uniform",
        "--alpha",
        0.9,
        "--target-size",
        4700,
        "--splits",
        "train=0.9,val=0.05,test=0.05",
        "--seed",
        3,
    ]
    kept = ["--license", "CC-BY-2.0,CC-BY-SA-2.0,CC0-1.0", "--on-error", "skip", "--checksum", "sha256"]
    out = ["--format", "wds", "--out", root / "out", "--shards", SHARDS, "--name", "browser"]
    arguments = [*map(str, ["export", *out, *given, *mix, *kept, "--report", root / "out/report/index.html"])]
    cli.main(arguments, standalone_mode=False)
    return root / "out/report/index.html"


def _bad_lpff(root: Path) -> Path:
    """A tiny LPFF, one of whose pictures is cut short."""
    write_lpff(root)
    picture = sorted((root / "crop/eg3d").iterdir())[0]
    picture.write_bytes(picture.read_bytes()[:-40])
    return root


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("screen", WIDTHS)
def test_the_report_in_a_browser(browser: Any, report: Path, screen: str, scheme: str) -> None:
    show(browser, report, WIDTHS[screen], scheme)
    assert complaints(browser) == []
    assert requests(browser) == [report.absolute().as_uri()]
    broken = browser.execute_script("return [...document.images].filter(i => !i.naturalWidth).map(i => i.alt)")
    assert broken == []
    assert browser.execute_script("return document.images.length") > 100
    assert browser.execute_script("return document.documentElement.scrollWidth") == WIDTHS[screen]
    sections = browser.execute_script(
        "return [...document.querySelectorAll('section')].map(s => [s.querySelector('h2').innerText, s.innerText])"
    )
    assert [heading for heading, _ in sections] == list(SECTIONS)
    for heading, text in sections:
        assert SECTIONS[heading] in text
    # The page is as bright as its plots in a dark scheme too.
    assert _brightness(browser) > 128
    if folder := os.environ.get("LPFF_SHARDS_SCREENSHOTS"):
        screenshot(browser, Path(folder) / f"report-{screen}-{scheme}.png")


def test_the_export_is_as_large_as_it_should_be(browser: Any, report: Path) -> None:
    assert 4500 < read_manifest(report.parent.parent).samples < 5500


def test_the_page_is_small_enough_to_send(browser: Any, report: Path) -> None:
    assert report.stat().st_size < 6e6


def _brightness(browser: Any) -> float:
    color = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in color[4:-1].split(","))
    return (red + green + blue) / 3
