"""The command line: parses into frozen options, calls `api`, prints. Heavy imports wait for a command."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from lpff_shards import __version__, mix_options, options
from lpff_shards.errors import EXIT_DAMAGED, ExportFailed, Interrupted, NotFound, ShardsError

if TYPE_CHECKING:
    from types import FrameType

    from lpff_shards.report.write import Report

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

_EPILOG = """\b
Examples:
  lpff-shards export --format wds --demo --out shards
  lpff-shards export --format wds --lpff LPFF --ffhq FFHQ_512.zip --out shards
  lpff-shards export --format wds --lpff LPFF --ffhq FFHQ_512.zip --rebalance lpff --out shards
  lpff-shards export --format zip --lpff LPFF --ffhq FFHQ_512.zip --rebalance lpff --out zips
  lpff-shards export --format tfrecord --lpff LPFF --alignment stylegan --image raw --resolution 256 --out shards
"""


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """Bytes, as in 256MB, 1GiB or 1000000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMG]?I?B?)", str(value).strip().upper())
        if match is None or match[2] not in _UNITS:
            self.fail(f"{value!r} is not a size; write 256MB, 1GiB or a number of bytes", param, ctx)
        if len(match[1]) > 15:
            self.fail(f"{match[1][:15]}... is more bytes than any disk holds", param, ctx)
        return int(float(match[1]) * _UNITS[match[2]])


def _stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


_sources = _stack(
    click.option("--lpff", metavar="PATH", help="LPFF: its folder, a flat folder of its crops, or a zip."),
    click.option("--unsplash-pexels", metavar="PATH", help="Unsplash-Pexels: the same."),
    click.option("--ffhq", metavar="PATH", help="FFHQ, aligned as --alignment says: a folder or a zip."),
    click.option("--ffhq-cameras", metavar="FILE", help="EG3D's dataset.json, where it is not inside --ffhq."),
    click.option("--ffhq-metadata", metavar="FILE", help="ffhq-dataset-v2.json: licences, authors, landmarks."),
    click.option(
        "--demo", metavar="[N]", type=int, is_flag=False, flag_value=options.DEMO_PICTURES,
        help=f"N rendered portraits ({options.DEMO_PICTURES} without a number); nothing to download.",
    ),
    click.option("--alignment", type=click.Choice(options.ALIGNMENTS), default="eg3d", show_default=True,
                 help="Which crops; realign2400 and raw are LPFF's and Unsplash-Pexels'."),
    click.option("--mirror/--no-mirror", default=None,
                 help="Write each picture's mirror beside it.  [default: yes for eg3d]"),
)  # fmt: skip
_mix = _stack(
    click.option("--rebalance", type=click.Choice(mix_options.REBALANCE), default="none", show_default=True,
                 help="By pose: lpff as LPFF's paper, eg3d as EG3D, uniform towards a flat distribution."),
    click.option("--as", "as_", type=click.Choice(mix_options.AS), default="replicas", show_default=True,
                 help="Copies as samples of their own, or each picture once with its weight."),
    click.option("--num-replicas", metavar="FILE", help="eg3d: EG3D's replica file.  [default: from the cameras]"),
    click.option("--alpha", type=float, metavar="A",
                 help=f"uniform: weights go by density^-A, 0 to 1.  [default: {mix_options.DEFAULT_ALPHA}]"),
    click.option("--max-replicas", type=int, metavar="N",
                 help=f"uniform: the most a picture counts.  [default: {mix_options.DEFAULT_MAX_REPLICAS}]"),
    click.option("--target-size", type=int, metavar="N",
                 help="uniform: training samples in all.  [default: the densest count once]"),
    click.option("--license", multiple=True, metavar="NAME",
                 help="Keep these only, such as CC-BY-2.0 or CC0-1.0,PDM-1.0; repeatable."),
    click.option("--exclude", metavar="FILE", help="Ids, photo ids or user ids to leave out, one a line."),
    click.option("--splits", metavar="SPEC", default=mix_options.TRAIN, show_default=True,
                 help="train; official (FFHQ's); or fractions such as train=0.96,val=0.02,test=0.02."),
)  # fmt: skip
_output = _stack(
    click.option("--format", type=click.Choice(options.FORMATS), required=True,
                 help="WebDataset tar, TFRecord, or the zip that EG3D and StyleGAN train on."),
    click.option("--out", metavar="DIR", required=True, help="The output folder."),
    click.option("--name", help="Name of the data set.  [default: from the sources]"),
    click.option("--metadata", type=click.Choice(options.METADATA), default="json", show_default=True,
                 help="wds: NPY and JSON members, or one msgpack member for all but the picture."),
)  # fmt: skip
_picture = _stack(
    click.option("--image", type=click.Choice(options.IMAGE_KINDS), default=None,
                 help="keep passes the files through unchanged; the others re-encode as RGB, stored-png without "
                      "compression.  [default: stored-png for zip, else keep]"),
    click.option("--resolution", type=int, metavar="N", help="Resize square pictures to NxN (Lanczos)."),
    click.option("--quality", type=int, metavar="N", help="1-100, for jpeg (default 95) and webp (default lossless)."),
)  # fmt: skip
_shards = _stack(
    click.option("--shard-size", type=Size(), help="About the most bytes of a shard.  [default: 256MB]"),
    click.option("--samples-per-shard", type=int, metavar="N", help="Samples in every shard but the last."),
    click.option("--shards", type=int, metavar="N", help="Number of shards, of equal numbers of samples."),
    click.option("--shuffle/--no-shuffle", default=None,
                 help="Shuffle, or keep the source order.  [default: keep for zip, else shuffle]"),
    click.option("--seed", type=int, metavar="N", help="Of the shuffle, and of uniform's copies.  [default: 0]"),
)  # fmt: skip
_run = _stack(
    click.option("--checksum", type=click.Choice(options.CHECKSUMS), default="blake3", show_default=True,
                 help="sha256 also writes SHA256SUMS."),
    click.option("--workers", type=int, metavar="N", help="Processes.  [default: every core]"),
    click.option("--on-error", type=click.Choice(options.ON_ERROR), default="fail", show_default=True,
                 help="What a bad picture does: stop, or be left out, listed and counted."),
    click.option("--overwrite", is_flag=True, help="Replace another plan's shards in the same folder."),
    click.option("--update", is_flag=True,
                 help="Take what --exclude names since out of an export; other shards stay as they are."),
    click.option("--dry-run", is_flag=True, help="Print the plan and write nothing."),
    click.option("--json", "as_json", is_flag=True, help="Print for machines."),
)  # fmt: skip
_report_of_export = click.option(
    "--report", metavar="FILE", help="Write an HTML report too, of the plan with --dry-run; see the command report."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(__version__, prog_name="lpff-shards")
def cli() -> None:
    """Packs face crops, cameras and licences into shards that trainers stream."""


@cli.command(epilog=_EPILOG)
@_output
@_sources
@_mix
@_picture
@_shards
@_run
@_report_of_export
def export(dry_run: bool, as_json: bool, report: str | None, **given: Any) -> None:
    """Write shards from the given sources; the same command goes on where it was stopped."""
    from lpff_shards import api, console, progress

    chosen = _options(given)
    if report is not None:
        from lpff_shards.report import write

        write.check(report)
    if dry_run:
        plan = api.plan_export(chosen)
        balances = api.compare_rules(plan, chosen)
        click.echo(console.plan_json(plan, balances) if as_json else console.plan_text(plan, balances))
        if report is not None:
            _say_report(write.report_plan(plan, balances, report))
        return
    try:
        with progress.observer(sys.stderr) as observer:
            manifest = api.export(chosen, observer)
    except KeyboardInterrupt:
        raise Interrupted("stopped", "Finished shards are kept: run the same command again to go on") from None
    click.echo(console.manifest_json(manifest) if as_json else console.manifest_text(manifest, chosen.out))
    if report is not None:
        _say_report(write.report_export(chosen.out, report))


@cli.command()
@click.argument("path")
@click.option("--deep", is_flag=True, help="Decode every picture and check every camera too.")
@click.option("--workers", type=int, metavar="N", help="Processes.  [default: every core]")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def verify(path: str, deep: bool, workers: int | None, as_json: bool) -> None:
    """Check every checksum, sample and key of an export against its manifest.

    Exit status 0: all is well; 1: something is wrong, and it is named; 2: there is no export to check.
    """
    from lpff_shards import console, progress
    from lpff_shards.processes import available_cores
    from lpff_shards.verify import verify_export

    options.RunOptions(workers=workers)
    with progress.reading(sys.stderr) as on_progress:
        verdict = verify_export(path, workers or available_cores(), on_progress, deep)
    click.echo(console.verdict_json(verdict) if as_json else console.verdict_text(verdict))
    if not verdict.ok:
        sys.exit(EXIT_DAMAGED)


@cli.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def index(path: str, as_json: bool) -> None:
    """Write the index files that an export lacks: for wids, DALI, Energon and TensorFlow Datasets.

    Exports write them themselves; this is for those that lost them, or were made without.
    """
    from lpff_shards import console
    from lpff_shards.indexing import index_export

    written = index_export(path)
    click.echo(console.indexes_json(written) if as_json else console.indexes_text(path, written))


@cli.command()
@click.argument("path")
@click.option("--split", default=mix_options.TRAIN, show_default=True, metavar="NAME", help="Whose samples.")
@click.option("--batch-size", type=int, default=32, show_default=True, metavar="N", help="Pictures of a batch.")
@click.option(
    "--workers",
    type=int,
    multiple=True,
    metavar="N",
    help="Processes of each loader; repeatable, to compare.  [default: each loader's own]",
)
@click.option(
    "--loader",
    "loaders",
    multiple=True,
    metavar="NAME",
    help="This one only, such as torch.loader or webdataset; repeatable.",
)
@click.option("--seconds", type=float, default=5.0, show_default=True, help="How long each loader reads.")
@click.option("--mirror", is_flag=True, help="Flip pictures at random while loading.")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")  # fmt: skip
def bench(as_json: bool, **given: Any) -> None:
    """Measure how fast each installed loader reads an export here, beside the plain reading of its files.

    Exit status 0: all that are installed were measured; 1: one failed, or there was none; 2: a bad option.
    """
    from lpff_shards.bench import table
    from lpff_shards.bench.options import BenchOptions
    from lpff_shards.bench.run import bench_export

    chosen = BenchOptions(**given)
    report = bench_export(chosen, lambda run: click.echo(table.progress(run), err=True))
    click.echo(table.report_json(report) if as_json else table.report_text(report))
    if not report.ok:
        sys.exit(EXIT_DAMAGED)


@cli.command()
@click.argument("name")
@click.argument("path")
@click.option("--by", metavar="WHAT", help="Look only among: key, id, photo, author, url.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def trace(name: str, path: str, by: str | None, as_json: bool) -> None:
    """Find a photo in an export: which shards, which bytes, whose it is and under which licence.

    NAME is a sample's key, a source id (of a face or of a photo), a photo id, an author's name or id, or a photo's URL.

    Exit status 0: found; 1: the export knows no such name; 2: there is no export to look in.
    """
    from lpff_shards import console_trace, tracing

    found = tracing.trace_export(path, name, by)
    if as_json or found.found:
        click.echo(console_trace.trace_json(found) if as_json else console_trace.trace_text(found))
    if not found.found:
        near = f"Near it: {', '.join(found.near)}" if found.near else "Names are compared as a whole, letter by letter"
        raise NotFound(f"{path} knows nothing by the name {name}", near)


@cli.command("report")
@click.argument("path")
@click.option("--out", metavar="FILE", help="The HTML file.  [default: PATH/report/index.html]")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def report_(path: str, out: str | None, as_json: bool) -> None:
    """Show what an export holds: poses, licences, splits, shards and a contact sheet, as one HTML file and PNGs."""
    from lpff_shards.report import words, write

    made = write.report_export(path, out)
    click.echo(words.report_json(made) if as_json else words.report_text(made))


def _say_report(made: Report) -> None:
    """Tells of a report that came along; standard output is the export's."""
    from lpff_shards.report import words

    click.echo(words.report_text(made), err=True)


def _options(given: dict[str, Any]) -> options.ExportOptions:
    """The flat options of the command line as the frozen ones."""

    def some(kind: type[Any]) -> Any:
        return kind(**{name: given.pop(name) for name in kind.__dataclass_fields__ if name in given})

    parts = {
        "sources": some(options.SourceOptions),
        "mix": some(mix_options.MixOptions),
        "picture": some(options.PictureOptions),
        "shards": some(options.ShardOptions),
        "run": some(options.RunOptions),
    }
    return options.ExportOptions(**given, **parts)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _fail(error: ShardsError) -> NoReturn:
    with contextlib.suppress(OSError):
        click.echo(f"lpff-shards: {error}", err=True)
    sys.exit(error.exit_status)


def main() -> None:
    """The console script: every error leaves as one line and an exit status."""
    # Set before numpy is loaded: its thread pool would only make forking workers unsafe.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, _terminate)
    # A stream that the caller closed is None here; what is printed to it goes nowhere.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    try:
        cli.main(standalone_mode=False)
        sys.stdout.flush()
    except ShardsError as error:
        _fail(error)
    except click.ClickException as error:
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "lpff-shards"
        _fail(ShardsError(error.format_message().rstrip("."), f"See {usage} --help"))
    except (KeyboardInterrupt, click.Abort):
        _fail(Interrupted("stopped"))
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_DAMAGED)
    except (OSError, MemoryError, RecursionError) as error:
        _fail(_unforeseen(error))


def _unforeseen(error: BaseException) -> ShardsError:
    """A refusal of the system that no part of the program foresaw, as one line."""
    if isinstance(error, MemoryError):
        return ExportFailed("out of memory", "Use fewer --workers, or a machine with more memory")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return ShardsError(f"{error.filename}: {error.strerror}", "Give a shorter path")
    if isinstance(error, OSError):
        return ExportFailed(f"{error.filename or 'standard output'}: {error.strerror}", "Mend that and run it again")
    return ExportFailed(f"{type(error).__name__}: {error}", "Something in the input is nested too deeply")
