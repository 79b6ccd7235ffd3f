"""One loader measured, in a process of its own: `python -m lpff_shards.loaders.bench.one LOADER WORKERS OPTIONS`.

Prints a `Run` as JSON in its last line; OPTIONS are `BenchOptions` as JSON, WORKERS a number or `own`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import msgspec

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.bench.contestants import get_contestant
from lpff_shards.loaders.bench.options import BenchOptions, Run


def measure(batches: Iterator[int], seconds: float) -> tuple[int, float]:
    """Pictures read in about so many seconds, and the seconds it took."""
    pictures, started = 0, time.perf_counter()
    for size in batches:
        pictures += size
        if time.perf_counter() - started >= seconds:
            break
    return pictures, time.perf_counter() - started


def last_line(error: ShardsError) -> str:
    """What an error says; torch hands on those of worker processes with their whole traceback in front."""
    lines = error.message.strip().splitlines()
    return str(error) if len(lines) < 2 else lines[-1].removeprefix(f"{ShardsError.__module__}.ShardsError: ")


def main() -> None:
    """The process's whole work."""
    loader, told, text = sys.argv[1:]
    options = msgspec.json.decode(text, type=BenchOptions)
    workers = None if told == "own" else int(told)
    started = time.perf_counter()
    try:
        batches = get_contestant(loader)(options, workers)
        next(batches)
        start = time.perf_counter() - started
        run = Run(loader, workers, *measure(batches, options.seconds), start)
    except ShardsError as error:
        run = Run(loader, workers, problem=last_line(error))
    # As bytes, which no locale changes.
    sys.stdout.buffer.write(msgspec.json.encode(run) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
