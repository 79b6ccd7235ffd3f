"""The command line: parses into frozen options, calls `api`, prints. Heavy imports wait for a command.

Commands are here, their options in `commandline/options.py`, the rest of their help in `commandline/manuals.py`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import time
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, NoReturn, get_type_hints

import click

from lpff_shards._version import __version__
from lpff_shards.commandline import manuals
from lpff_shards.commandline import options as given_by
from lpff_shards.commandline.help import CHECK, LOOK_UP, MAKE, MEASURE, Group, no_such_option
from lpff_shards.commandline.options import Verbosity
from lpff_shards.errors import EXIT_BAD_INPUT, EXIT_DAMAGED, ExportFailed, Interrupted, NotFound, ShardsError
from lpff_shards.options import export as options
from lpff_shards.options.declaration import declared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# Also for `python -m lpff_shards`: completion and the examples use this name.
PROGRAM = "lpff-shards"

LATER = 0.01
"""Seconds after which a signal is delivered again that came where nothing can be raised."""
CLEANING = 5.0
"""Seconds after a signal in which further ones do not disturb what it interrupted."""


@click.group(cls=Group, epilog=manuals.TOP, invoke_without_command=True)
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context) -> None:
    """Packs face crops, cameras and licenses into shards that trainers stream."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        sys.exit(EXIT_BAD_INPUT)


@cli.command(purpose=MAKE, manual=manuals.EXPORT)
@given_by.export
@given_by.messages
def export(dry_run: bool, report: str | None, as_json: bool, verbosity: Verbosity, **given: Any) -> None:
    """Write shards from the given sources. Run the same command again to resume."""
    from lpff_shards import api
    from lpff_shards.commandline import progress, summary

    chosen = _options(given)
    _check_report(report, chosen)
    if dry_run:
        _dry_run(chosen, report, as_json, verbosity)
        return
    try:
        with progress.observer(sys.stderr, verbosity) as observer:
            share = api.export_share(chosen, observer) if chosen.run.task else None
            manifest = share.manifest if share else api.export(chosen, observer)
    except KeyboardInterrupt:
        raise Interrupted("stopped", "Finished shards are kept: run the same command again to go on") from None
    if as_json:
        click.echo(summary.export_json(manifest, share))
    elif verbosity is not Verbosity.QUIET and manifest:
        click.echo(summary.manifest_text(manifest, chosen.out, observer.notes))
    elif verbosity is not Verbosity.QUIET and share:
        click.echo(summary.share_text(chosen, share))
    if report is not None and manifest:
        from lpff_shards.report import write

        made = write.report_export(chosen.out, report)
        if verbosity is not Verbosity.QUIET:
            click.echo(write.report_text(made), err=True)


def _dry_run(chosen: options.ExportOptions, report: str | None, as_json: bool, verbosity: Verbosity) -> None:
    """Make the plan and print it; with --quiet only the exit status says whether it could be made."""
    if chosen.run.task is not None:
        raise ShardsError("--task and --dry-run cannot be used together", "Leave --task out: the plan is of all shares")
    from lpff_shards import api
    from lpff_shards.commandline import progress, summary

    with progress.observer(sys.stderr, verbosity) as observer:
        observer.on_stage("planning")
        plan = api.plan_export(chosen)
        balances = api.compare_rules(plan, chosen)
    if as_json:
        click.echo(summary.plan_json(plan, balances))
    elif verbosity is not Verbosity.QUIET:
        click.echo(summary.plan_text(plan, balances))
    if report is not None:
        from lpff_shards.report import write

        made = write.report_plan(plan, balances, report)
        if verbosity is not Verbosity.QUIET:
            click.echo(write.report_text(made), err=True)


@cli.command(purpose=CHECK, manual=manuals.VERIFY)
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
    if as_json:
        click.echo(summary.verdict_json(verdict))
    elif verbosity is not Verbosity.QUIET:
        click.echo(summary.verdict_text(verdict))
    elif not verdict.ok:
        click.echo("\n".join(summary.fault_lines(verdict)))
    if not verdict.ok:
        sys.exit(EXIT_DAMAGED)


@cli.command(purpose=MAKE, manual=manuals.INDEX)
@given_by.path
@given_by.messages
def index(path: str, as_json: bool, verbosity: Verbosity) -> None:
    """Write the index files that the export in the folder PATH lacks.

    They are those for wids, DALI, Energon and TensorFlow Datasets, and samples.sqlite and ATTRIBUTION.csv.

    Exports write them themselves; this is for those that lost them, or were made without.
    """
    from lpff_shards.commandline import progress, summary
    from lpff_shards.exporters.index import index_export

    with progress.observer(sys.stderr, verbosity) as observer:
        observer.on_stage("reading")
        written = index_export(path, observer.on_shard)
    if verbosity is Verbosity.VERBOSE:
        for name in written:
            progress.say(f"  wrote {name}", sys.stderr)
    if as_json:
        click.echo(summary.indexes_json(written))
    elif verbosity is not Verbosity.QUIET:
        click.echo(summary.indexes_text(path, written))


@cli.command(purpose=MEASURE, manual=manuals.BENCH)
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
    click.echo(summary.report_json(report) if as_json else summary.report_text(report))
    if not report.ok:
        sys.exit(EXIT_DAMAGED)


@cli.command(purpose=LOOK_UP, manual=manuals.TRACE)
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
        click.echo(summary.trace_json(found) if as_json else summary.trace_text(found))
    if not found.found:
        near = f"Near it: {', '.join(found.near)}" if found.near else "Names are compared as a whole, letter by letter"
        raise NotFound(f"No match for {name} in {path}", near)


@cli.command("report", purpose=LOOK_UP, manual=manuals.REPORT)
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
    click.echo(write.report_json(made) if as_json else write.report_text(made))


@contextlib.contextmanager
def _looking() -> Iterator[None]:
    """Exit with status 2 if the command cannot do its work, such as on a full disk; status 1 is a result."""
    try:
        yield
    except (ExportFailed, OSError, MemoryError) as error:
        known = error if isinstance(error, ShardsError) else _unforeseen(error)
        raise ShardsError(known.message, known.hint) from None


def _check_report(out: str | None, chosen: options.ExportOptions) -> None:
    """Refuse a report that cannot be written before the export begins."""
    if out is not None:
        from lpff_shards.exporters.preflight import refuse_sources
        from lpff_shards.exporters.record_options import given_paths
        from lpff_shards.report.write import check, target

        check(out, chosen.out)
        refuse_sources(target(out).page.parent, given_paths(chosen), "--report")


def _options(given: dict[str, Any]) -> options.ExportOptions:
    """The flat options of the command line as the frozen ones."""
    hints: dict[str, Any] = get_type_hints(options.ExportOptions)
    kinds: dict[str, Any] = {part: kind for part, kind in hints.items() if is_dataclass(kind)}
    others = {name: path for name in given_by.ADDED_SOURCES if (path := given.pop(name, None)) is not None}
    of = {part: {name: given.pop(name) for name in declared(kind)} for part, kind in kinds.items()}
    of["sources"]["others"] = others
    return options.ExportOptions(**given, **{part: kind(**of[part]) for part, kind in kinds.items()})


class _Stopped(KeyboardInterrupt):
    """A signal to stop. Of a KeyboardInterrupt itself that passes an `exec`, as dataclasses do, Python would die."""


def _hear_signals() -> None:
    """Makes the first Ctrl-C or SIGTERM a KeyboardInterrupt.

    What it interrupts cleans up undisturbed; a further signal that comes when this takes long ends the process.
    """
    stopped: list[float] = []

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if not stopped:
            stopped.append(time.monotonic())
            raise _Stopped
        if time.monotonic() - stopped[0] > CLEANING:
            os._exit(Interrupted.exit_status)

    def again(lost: sys.UnraisableHookArgs) -> None:
        """Stop a moment later where Python could not raise it, as in the callbacks of an import."""
        if not isinstance(lost.exc_value, _Stopped):
            sys.__unraisablehook__(lost)
            return
        stopped.clear()
        signal.setitimer(signal.ITIMER_REAL, LATER)

    sys.unraisablehook = again
    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, stop)
    # Ignored where a shell started this in the background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def _color() -> bool | None:
    """Return False where the environment refuses colors, see https://no-color.org; else None: click asks the stream."""
    no_color, setting, terminal = (os.environ.get(name) for name in ("NO_COLOR", "CLICOLOR", "TERM"))
    return False if no_color or setting == "0" or terminal == "dumb" else None


def _fail(error: ShardsError) -> NoReturn:
    with contextlib.suppress(OSError):
        click.echo(f"{click.style(f'{PROGRAM}:', fg='red', bold=True)} {error}", err=True, color=_color())
    sys.exit(error.exit_status)


def main() -> None:
    """The console script: every error leaves as one line and an exit status."""
    # Set before numpy is loaded: its thread pool would only make forking workers unsafe.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _hear_signals()
    # A stream that the caller closed is None here; what is printed to it goes nowhere.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # Names of the world's authors and files, in a locale that lacks their letters.
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
        # click lays some of them out in lines.
        _fail(ShardsError(" ".join(error.format_message().split()).rstrip("."), f"See {usage} --help"))
    except (KeyboardInterrupt, click.Abort):
        _fail(Interrupted("stopped"))
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_DAMAGED)
    except (OSError, MemoryError, RecursionError) as error:
        _fail(_unforeseen(error))
    finally:
        # All is said and done; Python would print where in its own end it was interrupted.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _unforeseen(error: BaseException) -> ShardsError:
    """A refusal of the system that no part of the program foresaw, as one line."""
    if isinstance(error, MemoryError):
        return ExportFailed("out of memory", "Use fewer --workers, or a machine with more memory")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return ShardsError(f"{error.filename}: {error.strerror}", "Give a shorter path")
    if isinstance(error, OSError):
        return ExportFailed(f"{error.filename or 'standard output'}: {error.strerror}", "Fix that and run it again")
    return ExportFailed(f"{type(error).__name__}: {error}", "Something in the input is nested too deeply")
