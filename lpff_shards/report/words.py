"""What the command line says of a report that was written."""

from __future__ import annotations

from lpff_shards.errors import printable
from lpff_shards.report.write import Report
from lpff_shards.schemas.escaping import as_json
from lpff_shards.schemas.units import size


def report_text(report: Report) -> str:
    """For people."""
    lines = [f"{report.name}: report of {report.samples:,} samples, {size(report.bytes)}, in {report.page}"]
    lines += [f"  {key} cannot be shown: {problem}" for key, problem in report.unreadable.items()]
    return "\n".join(map(printable, lines))


def report_json(report: Report) -> str:
    """For machines."""
    return as_json(report)
