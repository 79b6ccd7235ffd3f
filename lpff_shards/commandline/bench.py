"""What a bench prints."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lpff_shards.commandline.colors import PLAIN, Colours
from lpff_shards.errors import printable
from lpff_shards.loaders.bench.options import Report, Run
from lpff_shards.schemas.escaping import as_json
from lpff_shards.schemas.units import size


def progress(run: Run) -> str:
    """A loader that is done, in a line."""
    return f"  {_title(run)}: {run.problem or f'{run.rate:,.0f} pictures/s'}"


def details(run: Run) -> str:
    """The same with what it was counted from."""
    counted = f" ({run.pictures:,} pictures in {run.seconds:.1f} s, the first batch after {run.start:.1f} s)"
    return progress(run) + ("" if run.problem else counted)


def report_text(report: Report, colours: Colours = PLAIN) -> str:
    """The table: pictures and bytes a second of the files as stored."""
    first, head, *rest = map(printable, _lines(report))
    return "\n".join((first, colours.head(head), *rest))


def _lines(report: Report) -> Iterator[str]:
    reading = report.reading
    yield (
        f"{report.name} {report.split}: {report.samples:,} samples of {size(int(report.picture_bytes))} "
        f"({report.format}), batches of {report.batch_size}"
    )
    yield f"{'':26}{'pictures/s':>12}{'MB/s':>9}{'first batch':>13}"
    for name, seconds in (("files, as found", reading.first), ("files, once more", reading.again)):
        rate = reading.bytes / seconds
        yield f"{name:26}{rate / report.picture_bytes:>12,.0f}{rate / 1e6:>9,.0f}"
    for run in report.runs:
        if run.problem:
            yield f"{_title(run):26}  {run.problem}"
        else:
            rate = run.rate * report.picture_bytes / 1e6
            yield f"{_title(run):26}{run.rate:>12,.0f}{rate:>9,.0f}{run.start:>11.1f} s"


def _title(run: Run) -> str:
    if run.workers is None:
        return run.loader
    return f"{run.loader}, {run.workers} worker{'' if run.workers == 1 else 's'}"


def report_json(report: Report) -> str:
    """The same for machines: rates as numbers beside what they were made from."""
    runs = [{**msgspec.structs.asdict(run), "pictures_per_second": run.rate} for run in report.runs]
    told = {**msgspec.structs.asdict(report), "runs": runs}
    return as_json(told)
