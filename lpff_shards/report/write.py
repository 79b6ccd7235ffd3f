"""Make a report of an export or of a plan, and write it: the page, and its plots as PNGs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

from lpff_shards.errors import ExportFailed, ShardsError, printable
from lpff_shards.manifest import read_manifest
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rebalance import Balances
from lpff_shards.report.contact_sheet import FindPictures, of_export, of_plan, sheet
from lpff_shards.report.facts import Facts, Spread, after, export_facts, plan_facts
from lpff_shards.report.page import render
from lpff_shards.report.plots import contact_sheet, draw_all
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

SUFFIXES = (".html", ".htm")


class ReportFiles(NamedTuple):
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
    """Return the paths of a report; raise ShardsError if `out` is not the name of an HTML file that can be written.

    The plots of `set.html` are in `set-plots` next to it: `set` may be the export itself.
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
    """Raise ShardsError if a report cannot be written as `out`: in the export's folder `root` it has one place."""
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
    # An unreadable folder cannot be written either; writing reports it.
    with suppress(OSError):
        others = set(names_in(where.plots)) - {where.page.name}
        if others and MADE not in (read_if_there(where.page) or b""):
            holds = f"{where.plots} already holds {min(others)}, and {where.page} is not a report"
            raise ShardsError(holds, "Give another file, or remove it")
    if root is not None:
        page, folder, kept = where.page.resolve(), place(root).resolve(), f"{REPORT_FOLDER}/{REPORT_PAGE}"
        if str(page).startswith(f"{folder}/") and page != folder / kept:
            hint = f"Give a file elsewhere, or {place(root) / kept}, which later exports remove"
            raise ShardsError(f"report {out} is in the export's own folder", hint)


def report_export(path: str | StoragePath, out: str | StoragePath | None = None) -> Report:
    """Write the report of the export at a path or URI, to `PATH/report/index.html` by default.

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
    """As `report_export`, for a plan of `api.plan_export` and the comparison of the rules by `api.compare_rules`."""
    check(out)
    return write(plan_facts(plan, balances), of_plan(plan), target(out))


def write(facts: Facts, pictures: FindPictures, where: ReportFiles) -> Report:
    """Write a report from facts and a function that returns pictures; raise ExportFailed if it cannot be written."""
    plots = draw_all(facts)
    chosen = sheet(facts)
    found = pictures([cell.row for cell in chosen.cells])
    html = render(facts, plots, chosen, found).encode()
    images = {f"{name}.png": data for name, data in plots.items()}
    images[f"{REPORT_SHEET}.png"] = contact_sheet(chosen, found)
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
    unreadable = {shown.key: shown.problem for shown in found if shown.picture is None}
    names = tuple(str(where.plots / name) for name in images)
    return Report(str(where.page), names, len(html), facts.manifest.name, len(facts), after(facts), unreadable)


def report_text(report: Report) -> str:
    """Return a summary in words."""
    lines = [f"{report.name}: report of {report.samples:,} samples, {format_bytes(report.bytes)}, in {report.page}"]
    lines += [f"  {key} cannot be shown: {problem}" for key, problem in report.unreadable.items()]
    return "\n".join(map(printable, lines))
