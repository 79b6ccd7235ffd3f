"""Making a report of an export or of a plan, and writing it: the page, and its plots as PNGs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from lpff_shards.errors import ExportFailed, ShardsError, printable
from lpff_shards.manifest import read_manifest
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rebalance import Balances
from lpff_shards.report.collect import export_facts, plan_facts
from lpff_shards.report.contact_sheet import FindPictures, of_export, of_plan, sheet
from lpff_shards.report.facts import Facts, Spread, after
from lpff_shards.report.page import render
from lpff_shards.report.plots import DPI, contact_sheet, draw_all
from lpff_shards.schemas.escaping import as_json
from lpff_shards.schemas.filenames import OLD_PLOTS, PLOTS, REPORT_FOLDER, REPORT_PAGE, REPORT_SHEET
from lpff_shards.schemas.units import size
from lpff_shards.sidecars.sample_index.read import Ledger
from lpff_shards.storage.path import (
    Place,
    absolute,
    is_folder,
    is_link,
    is_remote,
    make_folder,
    names_in,
    place,
    read_if_there,
    remove,
    replace_file,
    resolved,
)

SUFFIXES = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report goes: its page, and the folder of its plots."""

    page: Place
    plots: Place


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written.

    Attributes:
        page: its HTML file; plots: its PNGs; bytes: of the page.
        training: how the training samples spread over the poses.
        unreadable: keys of pictures of the contact sheet that cannot be read, with the reasons.
    """

    page: str
    plots: tuple[str, ...]
    bytes: int
    name: str
    samples: int
    training: Spread
    unreadable: Mapping[str, str]


MADE = b"<footer>Made by lpff-shards."
"""What every page of a report holds, by which it is known as one."""


def target(out: str | Place) -> ReportFiles:
    """Where the report of a file's name goes: the plots of `set.html` lie in the folder `set-plots` beside it.

    A folder named like the page, `set`, may be the export itself, or anything else of the user's.

    Raises:
        ShardsError: it is not the name of an HTML file that can be written.
    """
    path = place(out)
    if path.suffix.lower() not in SUFFIXES or (not is_remote(path) and is_folder(path)):
        raise ShardsError(f"report {out} is not the name of an HTML file", "Give one that ends in .html")
    # In an export's folder the report is the export's own, however its name was given.
    above = absolute(path).parent
    own = (path.name, above.name) == (REPORT_PAGE, REPORT_FOLDER)
    if own and is_link(above):
        raise ShardsError(f"{above} is a link", "Put a folder in its place, or remove it")
    return ReportFiles(path, path.parent if own else path.parent / f"{path.name.removesuffix(path.suffix)}-plots")


def check(out: str | Place | None = None, root: str | Place | None = None) -> None:
    """Refuses what would keep a report from being written, before long work is done.

    Args:
        out: the HTML file; root: the export's folder, where it has one place, from which `--update` takes it.

    Raises:
        ShardsError: a library is missing, or `out` is not the name of an HTML file, or of another one in `root`.
    """
    _import_libraries()
    if out is None:
        return
    _refuse_others(target(out))
    page = resolved(target(out).page)
    if root is not None:
        folder = resolved(place(root))
        own = folder / REPORT_FOLDER / REPORT_PAGE
        if str(page).startswith(f"{folder}/") and page != own:
            kept = place(root) / REPORT_FOLDER / REPORT_PAGE
            hint = f"Give a file elsewhere, or {kept}: later exports take that one away"
            raise ShardsError(f"report {out} lies in the export's own folder", hint)


def _import_libraries() -> None:
    missing = []
    for name in ("matplotlib", "jinja2"):
        try:
            import_module(name)
        except ImportError:
            missing.append(name)
        except (OSError, ValueError) as error:
            # It reads the user's settings when it is imported, though a report uses its own.
            raise ShardsError(f"{name} cannot be imported: {error}", "Check matplotlibrc and MPLBACKEND") from None
    if missing:
        raise ShardsError(f"A report needs {' and '.join(missing)}", 'pip install "lpff-shards[report]"')


def _refuse_others(where: ReportFiles) -> None:
    """Refuse a folder of plots that holds files although no report of ours is beside it.

    Raises:
        ShardsError: it does.
    """
    try:
        there = set(names_in(where.plots)) - {where.page.name} if is_folder(where.plots) else set()
        if not there or MADE in (read_if_there(where.page) or b""):
            return
    except OSError:
        # What cannot be looked at cannot be written either, which is told then.
        return
    raise ShardsError(
        f"{where.plots} already holds {min(there)}, and {where.page} is no report",
        "Give another file, or remove it",
    )


def report_export(path: str | Place, out: str | Place | None = None) -> Report:
    """Writes the report of a finished export; only the pictures in the contact sheet are read from the shards.

    Args:
        path: the folder that an export wrote, or the URI of a bucket's prefix.
        out: the HTML file, `PATH/report/index.html` by default.

    Raises:
        ShardsError: there is no finished export, its ledger is missing, or a library is.
        ExportFailed: the report cannot be written.
    """
    check(out, path)
    root = place(path)
    manifest = read_manifest(root)
    with Ledger.open(root, manifest) as ledger:
        facts = export_facts(root, manifest, ledger)
        return write(facts, of_export(root, manifest, ledger), target(out or root / REPORT_FOLDER / REPORT_PAGE))


def report_plan(plan: Plan, balances: Balances | None, out: str | Place) -> Report:
    """Writes the report of a plan; only the pictures in the contact sheet are read from the sources.

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
    """Writes the report of some facts.

    Args:
        pictures: finds the contact sheet's.
        dpi: of the plots.

    Raises:
        ExportFailed: it cannot be written.
    """
    plots = draw_all(facts, dpi)
    chosen = sheet(facts)
    found = pictures([cell.row for cell in chosen.cells])
    thumbnails = [shown.thumbnail() for shown in found]
    html = render(facts, plots, chosen, found, thumbnails).encode()
    images = {f"{name}.png": data for name, data in plots.items()}
    images[f"{REPORT_SHEET}.png"] = contact_sheet(chosen, thumbnails, dpi)
    try:
        _write(where, html, images)
    except OSError as error:
        named = error.filename or where.page
        raise ExportFailed(f"the report cannot be written: {named}: {error.strerror}", "Choose another file") from None
    unreadable = {shown.key: shown.problem for shown in found if shown.pixels is None}
    names = tuple(str(where.plots / name) for name in images)
    return Report(str(where.page), names, len(html), facts.name, len(facts), after(facts), unreadable)


def _write(where: ReportFiles, html: bytes, images: Mapping[str, bytes]) -> None:
    """Writes the files, each whole or not at all, the page last; plots of an earlier report that it lacks go."""
    make_folder(where.plots)
    remove(where.plots, sorted({f"{name}.png" for name in (*PLOTS, *OLD_PLOTS)} - set(images)))
    for name, data in images.items():
        replace_file(where.plots / name, data)
    replace_file(where.page, html)


def report_text(report: Report) -> str:
    """For people."""
    lines = [f"{report.name}: report of {report.samples:,} samples, {size(report.bytes)}, in {report.page}"]
    lines += [f"  {key} cannot be shown: {problem}" for key, problem in report.unreadable.items()]
    return "\n".join(map(printable, lines))


def report_json(report: Report) -> str:
    """For machines."""
    return as_json(report)
