"""Measure one loader: `python -m lpff_shards.loaders.bench WORK`, WORK is a `Work` as JSON.

The last line that it prints is a `Run` as JSON.
"""

from __future__ import annotations

import sys
import time

import msgspec

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.bench import Run, Work, measure
from lpff_shards.loaders.bench.contenders import read_epochs


def main() -> None:
    loader, workers, options = msgspec.json.decode(sys.argv[1], type=Work)
    started = time.perf_counter()
    try:
        sizes = read_epochs(loader, workers, options)
        next(sizes)
        start = time.perf_counter() - started
        run = Run(loader, workers, *measure(sizes, options.seconds), start)
    except ShardsError as error:
        run = Run(loader, workers, problem=last_line(error))
    # As bytes, independent of the locale.
    sys.stdout.buffer.write(msgspec.json.encode(run) + b"\n")


def last_line(error: ShardsError) -> str:
    """Return an error's message without the traceback that torch puts before those of worker processes."""
    lines = error.message.strip().splitlines()
    return str(error) if len(lines) < 2 else lines[-1].removeprefix(f"{ShardsError.__module__}.ShardsError: ")


if __name__ == "__main__":
    main()
