"""How long `lpff-shards --help` takes, beside `python -c "import click"` and an empty Python, interleaved."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "empty python": [sys.executable, "-c", "pass"],
    "import click": [sys.executable, "-c", "import click"],
    "lpff-shards --help": [sys.executable, "-m", "lpff_shards", "--help"],
    "lpff-shards export --help": [sys.executable, "-m", "lpff_shards", "export", "--help"],
}


def main() -> None:
    """Prints the median of each command and its ratio to `import click`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=25)
    runs = parser.parse_args().runs
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    base = statistics.median(seconds["import click"])
    print(f"{'command':28} median ms   ratio")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:28} {median * 1e3:9.1f} {median / base:7.2f}")


if __name__ == "__main__":
    main()
