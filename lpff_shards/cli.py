"""The commands: parse frozen options, call `api`, print. Heavy modules are imported by the commands that need them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, get_type_hints

import click

from lpff_shards._version import __version__
from lpff_shards.commandline import options as given_by
from lpff_shards.commandline import signals
from lpff_shards.commandline.options import Group, Verbosity, no_such_option
from lpff_shards.errors import EXIT_BAD_INPUT, EXIT_DAMAGED, ExportFailed, Interrupted, NotFound, ShardsError
from lpff_shards.options import export as options
from lpff_shards.options.declaration import declared

if TYPE_CHECKING:
    from collections.abc import Iterator

# Also for `python -m lpff_shards`: completion and the examples use this name.
PROGRAM = "lpff-shards"


@click.group(PROGRAM, cls=Group, invoke_without_command=True)
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context) -> None:
    """Packs face crops, cameras and licenses into shards that trainers stream."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        sys.exit(EXIT_BAD_INPUT)


@cli.command()
@given_by.export
@given_by.messages
def export(dry_run: bool, report: str | None, as_json: bool, verbosity: Verbosity, **given: Any) -> None:
    """Write shards from the given sources. Run the same command again to resume."""
    _run(_options(given), dry_run, report, as_json, verbosity)


@cli.command()
@given_by.path
@given_by.convert
@given_by.messages
def convert(
    path: str, out: str, format: str | None, dry_run: bool, as_json: bool, verbosity: Verbosity, **given: Any
) -> None:
    """Write the export in the folder PATH again: in another format, with other pictures, or in other shards.

    Samples, keys, order, splits and fields stay; data sets are not needed. Run the same command again to resume.
    """
    from lpff_shards.exporters.conversion import conversion_options

    _run(conversion_options(path, out, format, **_parts(given)), dry_run, None, as_json, verbosity)


def _run(chosen: options.ExportOptions, dry_run: bool, report: str | None, as_json: bool, verbosity: Verbosity) -> None:
    from msgspec import structs

    from lpff_shards import api
    from lpff_shards.commandline import progress, summary
    from lpff_shards.executors.worker import keep_freed_memory

    # Also without worker processes.
    keep_freed_memory()
    if report is not None:
        from lpff_shards.exporters.preflight import refuse_sources
        from lpff_shards.exporters.record_options import given_paths
        from lpff_shards.report import write

        # Before the export begins.
        write.check(report, chosen.out)
        refuse_sources(write.target(report).page.parent, given_paths(chosen), "--report")
    if dry_run:
        _dry_run(chosen, report, as_json, verbosity)
        return
    try:
        with progress.observer(sys.stderr, verbosity) as observer:
            share = api.export_share(chosen, observer) if chosen.run.task else None
            manifest = share.manifest if share else api.export(chosen, observer)
    except KeyboardInterrupt:
        raise Interrupted("stopped", "Finished shards are kept: run the same command again to go on") from None
    data = {"finished": manifest is not None, **structs.asdict(share)} if share else manifest
    if manifest:
        text = summary.manifest_text(manifest, chosen.out, observer.notes)
    else:
        text = summary.share_text(chosen, share) if share else ""
    _print_result(data, text, as_json, verbosity)
    if report is not None and manifest:
        made = write.report_export(chosen.out, report)
        if verbosity is not Verbosity.QUIET:
            click.echo(write.report_text(made), err=True)


def _dry_run(chosen: options.ExportOptions, report: str | None, as_json: bool, verbosity: Verbosity) -> None:
    if chosen.run.task is not None:
        raise ShardsError("--task and --dry-run cannot be used together", "Leave --task out: the plan is of all shares")
    from lpff_shards import api
    from lpff_shards.commandline import progress, summary

    with progress.observer(sys.stderr, verbosity) as observer:
        observer.on_stage("planning")
        plan = api.plan_export(chosen)
        balances = api.compare_rules(plan, chosen)
    _print_result(summary.plan_data(plan, balances), summary.plan_text(plan, balances), as_json, verbosity)
    if report is not None:
        from lpff_shards.report import write

        made = write.report_plan(plan, balances, report)
        if verbosity is not Verbosity.QUIET:
            click.echo(write.report_text(made), err=True)


@cli.command()
@given_by.path
@given_by.check
@given_by.messages
def verify(path: str, deep: bool, workers: int | None, as_json: bool, verbosity: Verbosity) -> None:
    """Check every checksum, sample and key of the export in the folder PATH against its manifest."""
    from lpff_shards.commandline import progress, summary
    from lpff_shards.executors.processes import available_cores
    from lpff_shards.verify import verify_export

    options.RunOptions(workers=workers)
    with progress.observer(sys.stderr, verbosity) as observer, _looking():
        observer.on_stage("reading")
        verdict = verify_export(path, workers or available_cores(), observer.on_progress, deep, observer.on_shard)
    _print_result({"ok": verdict.ok, **asdict(verdict)}, summary.verdict_text(verdict), as_json, verbosity)
    if not verdict.ok:
        if verbosity is Verbosity.QUIET and not as_json:
            click.echo("\n".join(summary.fault_lines(verdict)))
        sys.exit(EXIT_DAMAGED)


@cli.command()
@given_by.path
@given_by.attach
@given_by.messages
def attach(path: str, channel: tuple[str, ...], workers: int | None, as_json: bool, verbosity: Verbosity) -> None:
    """Add channels to the export in the folder PATH, in shards of their own; its pictures stay as they are."""
    from lpff_shards.commandline import progress, summary
    from lpff_shards.exporters.attach import attach_channels

    options.RunOptions(workers=workers)
    try:
        with progress.observer(sys.stderr, verbosity) as observer:
            made = attach_channels(path, channel, workers, observer)
    except KeyboardInterrupt:
        raise Interrupted("stopped", "Finished shards are kept: run the same command again to go on") from None
    _print_result(made, "\n".join(summary.channel_text(manifest, path) for manifest in made), as_json, verbosity)


@cli.command()
@given_by.path
@given_by.messages
def index(path: str, as_json: bool, verbosity: Verbosity) -> None:
    """Write the index files that the export in the folder PATH lacks.

    They are those for wids, DALI, Energon and TensorFlow Datasets, and samples.sqlite and ATTRIBUTION.csv.

    Exports write them themselves; this is for those that lost them, or were made without.
    """
    from lpff_shards.commandline import progress, summary
    from lpff_shards.exporters.finish import index_export

    with progress.observer(sys.stderr, verbosity) as observer:
        observer.on_stage("reading")
        written = index_export(path, observer.on_shard)
    if verbosity is Verbosity.VERBOSE:
        for name in written:
            progress.say(f"  wrote {name}", sys.stderr)
    _print_result({"written": written}, summary.indexes_text(path, written), as_json, verbosity)


@cli.command()
@given_by.path
@given_by.bench
@given_by.messages
def bench(as_json: bool, verbosity: Verbosity, **given: Any) -> None:
    """Measure how fast each installed loader reads the export in the folder PATH.

    Also measures plain file reads for comparison.
    """
    from lpff_shards.commandline import progress, summary
    from lpff_shards.loaders.bench import Run, bench_export
    from lpff_shards.options.bench import BenchOptions

    def on_run(run: Run) -> None:
        if verbosity is not Verbosity.QUIET:
            progress.say(summary.run_text(run, verbosity is Verbosity.VERBOSE), sys.stderr)

    chosen = BenchOptions(**given)
    if verbosity is Verbosity.VERBOSE:
        progress.say(progress.versions((*progress.PACKING, *progress.LOADING)), sys.stderr)
    report = bench_export(chosen, on_run)
    _print_result(summary.report_data(report), summary.report_text(report), as_json)
    if not report.ok:
        sys.exit(EXIT_DAMAGED)


@cli.command()
@click.argument("name")
@given_by.path
@given_by.by
@given_by.as_json
def trace(name: str, path: str, by: str | None, as_json: bool) -> None:
    """Find a photo in an export: its shards, bytes, author and license.

    NAME is a sample's key, a source id (of a face or of a photo), a photo id, an author's name or id, or a photo's URL.
    PATH is the folder that the export wrote.
    """
    from lpff_shards.commandline import summary
    from lpff_shards.sidecars import trace as tracing

    with _looking():
        found = tracing.trace_export(path, name, by)
    if as_json or found.found:
        _print_result(summary.trace_data(found), summary.trace_text(found), as_json)
    if not found.found:
        near = f"Near it: {', '.join(found.near)}" if found.near else "Names are compared as a whole, letter by letter"
        raise NotFound(f"No match for {name} in {path}", near)


@cli.command("report")
@given_by.path
@given_by.report
@given_by.as_json
def report_(path: str, out: str | None, as_json: bool) -> None:
    """Show what the export in the folder PATH holds, as an HTML file that needs no network, and its plots as PNGs.

    Poses, a contact sheet over the plane of yaw and pitch, rebalancing, sizes, licenses, splits, shards, and what was
    left out. Only the pictures in the contact sheet are read from the shards.
    """
    from lpff_shards.report import write

    made = write.report_export(path, out)
    _print_result(made, write.report_text(made), as_json)


def _print_result(data: object, text: str, as_json: bool, verbosity: Verbosity = Verbosity.NORMAL) -> None:
    if as_json:
        from lpff_shards.schemas import text as texts

        click.echo(texts.as_json(data))
    elif verbosity is not Verbosity.QUIET:
        click.echo(text)


@contextlib.contextmanager
def _looking() -> Iterator[None]:
    """Exit with status 2 if the command fails, such as on a full disk; status 1 is a result."""
    try:
        yield
    except (ExportFailed, OSError, MemoryError) as error:
        known = error if isinstance(error, ShardsError) else _unforeseen(error)
        raise ShardsError(known.message, known.hint) from None


def _options(given: dict[str, Any]) -> options.ExportOptions:
    others = {name: path for name in given_by.ADDED_SOURCES if (path := given.pop(name, None)) is not None}
    return options.ExportOptions(**_parts(given, sources={"others": others}))


def _parts(given: dict[str, Any], **more: dict[str, Any]) -> dict[str, Any]:
    """Return given options as arguments of `ExportOptions`; a part without any of them has its defaults."""
    hints: dict[str, Any] = get_type_hints(options.ExportOptions)
    kinds: dict[str, Any] = {part: kind for part, kind in hints.items() if is_dataclass(kind)}
    of = {part: {name: given.pop(name) for name in declared(kind) if name in given} for part, kind in kinds.items()}
    return {**given, **{part: kinds[part](**own, **more.get(part, {})) for part, own in of.items() if own}}


def _color() -> bool | None:
    """Return False if the environment refuses colors, see https://no-color.org; else None: click decides."""
    no_color, setting, terminal = (os.environ.get(name) for name in ("NO_COLOR", "CLICOLOR", "TERM"))
    return False if no_color or setting == "0" or terminal == "dumb" else None


def _fail(error: ShardsError) -> NoReturn:
    with contextlib.suppress(OSError):
        click.echo(f"{click.style(f'{PROGRAM}:', fg='red', bold=True)} {error}", err=True, color=_color())
    sys.exit(error.exit_status)


def main() -> None:
    """Run a command; every error is one line and an exit status."""
    # Set before numpy is loaded: its thread pool would only make forking workers unsafe.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signals.hear()
    # A stream that the caller closed is None.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # Names of authors and files may have letters that the locale lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.platform == "win32" and not {"-h", "--help", "--version"} & {*sys.argv}:
        _fail(ShardsError("Windows is not supported", "Use Linux or macOS; the Windows Subsystem for Linux is one"))
    try:
        cli.main(prog_name=PROGRAM, standalone_mode=False, color=_color())
        sys.stdout.flush()
    except ShardsError as error:
        _fail(error)
    except click.NoSuchOption as error:
        _fail(no_such_option(error, cli))
    except click.ClickException as error:
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else PROGRAM
        # Some messages of click have several lines.
        _fail(ShardsError(" ".join(error.format_message().split()).rstrip("."), f"See {usage} --help"))
    except (KeyboardInterrupt, click.Abort):
        _fail(Interrupted("stopped"))
    except BrokenPipeError:
        # A closed pipe (`| head`).
        sys.exit(EXIT_DAMAGED)
    except (OSError, MemoryError, RecursionError) as error:
        _fail(_unforeseen(error))
    finally:
        # Python would print a traceback if it was interrupted while it ends.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _empty(sys.stdout)
        _empty(sys.stderr)


def _empty(stream: TextIO) -> None:
    """Flush a stream; drop what a full disk or a closed pipe does not take, since Python would fail on it at exit."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unforeseen(error: BaseException) -> ShardsError:
    if isinstance(error, MemoryError):
        return ExportFailed("out of memory", "Use fewer --workers, or a machine with more memory")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return ShardsError(f"{error.filename}: {error.strerror}", "Give a shorter path")
    if isinstance(error, OSError):
        return ExportFailed(f"{error.filename or 'standard output'}: {error.strerror}", "Fix that and run it again")
    return ExportFailed(f"{type(error).__name__}: {error}", "Something in the input is nested too deeply")
