"""Make a report of an export or of a plan, and write it: the page, and its plots as PNGs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from lpff_shards.errors import ExportFailed, ShardsError, printable
from lpff_shards.formats.pictures.decoding import Pixels
from lpff_shards.manifest import read_manifest
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rebalance import Balances
from lpff_shards.report.contact_sheet import SIDE, FindPictures, of_export, of_plan, sheet
from lpff_shards.report.facts import Facts, Spread, after, export_facts, plan_facts
from lpff_shards.report.page import render
from lpff_shards.report.plots import DPI, contact_sheet, draw_all
from lpff_shards.schemas.filenames import OLD_PLOTS, PLOTS, REPORT_FOLDER, REPORT_PAGE, REPORT_SHEET
from lpff_shards.schemas.text import format_bytes
from lpff_shards.sidecars.sample_index import SampleIndex
from lpff_shards.storage.path import (
    StoragePath,
    is_folder,
    is_remote,
    names_in,
    place,
    read_if_there,
    remove,
    replace_file,
)

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """The paths of a report: its page, and the folder of its plots."""

    page: StoragePath
    plots: StoragePath


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written.

    Attributes:
        page: its HTML file; plots: its PNGs; bytes: size of the page.
        training: distribution of the training samples over the poses.
        unreadable: reasons why pictures of the contact sheet cannot be read, by key.
    """

    page: str
    plots: tuple[str, ...]
    bytes: int
    name: str
    samples: int
    training: Spread
    unreadable: Mapping[str, str]


MADE = b"<footer>Made by lpff-shards."
"""Bytes in every page, which identify it as a report."""


def target(out: str | StoragePath) -> ReportFiles:
    """Return the paths of a report: the plots of `set.html` are in the folder `set-plots` next to it.

    A folder named like the page, `set`, may be the export itself or another folder of the user.

    Raises:
        ShardsError: `out` is not the name of an HTML file that can be written.
    """
    path = place(out)
    if path.suffix.lower() not in SUFFIXES or (not is_remote(path) and is_folder(path)):
        raise ShardsError(f"report {out} is not the name of an HTML file", "Give one that ends in .html")
    # In an export's folder the report belongs to the export, even if its name was given differently.
    parent = path.absolute().parent
    own = (path.name, parent.name) == (REPORT_PAGE, REPORT_FOLDER)
    if own and parent.is_symlink():
        raise ShardsError(f"{parent} is a link", "Put a folder in its place, or remove it")
    return ReportFiles(path, path.parent if own else path.parent / f"{path.name.removesuffix(path.suffix)}-plots")


def check(out: str | StoragePath | None = None, root: str | StoragePath | None = None) -> None:
    """Check before long work that a report can be written.

    Args:
        out: the HTML file; root: the export's folder, which may contain only the report that `--update` removes.

    Raises:
        ShardsError: a library is missing, or `out` is not an HTML file name, or is another file in `root`.
    """
    missing = []
    for name in ("matplotlib", "jinja2"):
        try:
            import_module(name)
        except ImportError:
            missing.append(name)
        except (OSError, ValueError) as error:
            # matplotlib reads the user's settings on import, although a report uses its own.
            raise ShardsError(f"{name} cannot be imported: {error}", "Check matplotlibrc and MPLBACKEND") from None
    if missing:
        raise ShardsError(f"A report needs {' and '.join(missing)}", 'pip install "lpff-shards[report]"')
    if out is None:
        return
    where = target(out)
    _refuse_others(where)
    if root is not None:
        page, folder, kept = where.page.resolve(), place(root).resolve(), f"{REPORT_FOLDER}/{REPORT_PAGE}"
        if str(page).startswith(f"{folder}/") and page != folder / kept:
            hint = f"Give a file elsewhere, or {place(root) / kept}, which later exports remove"
            raise ShardsError(f"report {out} is in the export's own folder", hint)


def _refuse_others(where: ReportFiles) -> None:
    """Refuse a folder of plots that contains files without a report next to it."""
    try:
        there = set(names_in(where.plots)) - {where.page.name} if is_folder(where.plots) else set()
        if not there or MADE in (read_if_there(where.page) or b""):
            return
    except OSError:
        # An unreadable folder cannot be written either; writing reports it.
        return
    raise ShardsError(
        f"{where.plots} already holds {min(there)}, and {where.page} is not a report",
        "Give another file, or remove it",
    )


def report_export(path: str | StoragePath, out: str | StoragePath | None = None) -> Report:
    """Write the report of a finished export; only the pictures in the contact sheet are read from the shards.

    Args:
        path: folder or bucket prefix of an export.
        out: the HTML file, `PATH/report/index.html` by default.

    Raises:
        ShardsError: the export is not finished, or samples.sqlite or a library is missing.
        ExportFailed: the report cannot be written.
    """
    check(out, path)
    root = place(path)
    manifest = read_manifest(root)
    with SampleIndex.open(root, manifest) as samples:
        facts = export_facts(root, manifest, samples)
        return write(facts, of_export(root, manifest, samples), target(out or root / REPORT_FOLDER / REPORT_PAGE))


def report_plan(plan: Plan, balances: Balances | None, out: str | StoragePath) -> Report:
    """Write the report of a plan; only the pictures in the contact sheet are read from the sources.

    Args:
        plan: made by `api.plan_export`; balances: by `api.compare_rules`.
        out: the HTML file.

    Raises:
        ShardsError: `out` is not the name of an HTML file, or a library is missing.
        ExportFailed: the report cannot be written.
    """
    check(out)
    return write(plan_facts(plan, balances), of_plan(plan), target(out))


def write(facts: Facts, pictures: FindPictures, where: ReportFiles, dpi: float = DPI) -> Report:
    """Write a report from facts.

    Args:
        pictures: returns the pictures of the contact sheet.
        dpi: resolution of the plots.

    Raises:
        ExportFailed: the report cannot be written.
    """
    plots = draw_all(facts, dpi)
    chosen = sheet(facts)
    found = pictures([cell.row for cell in chosen.cells])
    thumbnails = [None if shown.pixels is None else _thumbnail(shown.pixels) for shown in found]
    html = render(facts, plots, chosen, found, thumbnails).encode()
    images = {f"{name}.png": data for name, data in plots.items()}
    images[f"{REPORT_SHEET}.png"] = contact_sheet(chosen, thumbnails, dpi)
    try:
        where.plots.mkdir(parents=True, exist_ok=True)
        # Of an earlier report.
        remove(where.plots, sorted({f"{name}.png" for name in (*PLOTS, *OLD_PLOTS)} - set(images)))
        for name, data in images.items():
            replace_file(where.plots / name, data)
        replace_file(where.page, html)
    except OSError as error:
        named = error.filename or where.page
        raise ExportFailed(f"the report cannot be written: {named}: {error.strerror}", "Choose another file") from None
    unreadable = {shown.key: shown.problem for shown in found if shown.pixels is None}
    names = tuple(str(where.plots / name) for name in images)
    return Report(str(where.page), names, len(html), facts.manifest.name, len(facts), after(facts), unreadable)


def _thumbnail(pixels: Pixels) -> Image:
    """Return a picture resized to fit `SIDE` pixels."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image


def report_text(report: Report) -> str:
    """Return a summary for people."""
    lines = [f"{report.name}: report of {report.samples:,} samples, {format_bytes(report.bytes)}, in {report.page}"]
    lines += [f"  {key} cannot be shown: {problem}" for key, problem in report.unreadable.items()]
    return "\n".join(map(printable, lines))
