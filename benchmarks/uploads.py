"""Whole exports to a local S3 server beside the same library sending ready files of the same size, interleaved.

    python -m benchmarks.uploads [--pictures N] [--runs N] [--folder FOLDER]

The server is moto's, on loopback and on the same cores, so that it bounds both; each run has a bucket of its own. Ours
are timed as whole commands, start-up, planning, checksums, receipts, indexes and ledger included; the rival sends the
shards that an export has left on disk, in as many processes, its imports left out. Printed are medians of MB/s.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from benchmarks.export import generate

WORKERS = (1, 2)
_SEND = """
import json, sys
import obstore
from lpff_shards.storage.connect import connect

bucket, files = json.loads(sys.argv[1])
store = connect("s3", bucket)
obstore.put(store, "warm", b"up")
print(flush=True)
sys.stdin.readline()
for file in files:
    with open(file, "rb") as source:
        obstore.put(store, file.rpartition("/")[2], source, chunk_size=8 << 20, max_concurrency=4)
"""
_KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1"}


@contextmanager
def server() -> Iterator[str]:
    """moto's S3 on a free port; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as trying:
            if not trying.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.1)
    raise RuntimeError("the server does not start")


def ours(source: Path, bucket: str, workers: int) -> float:
    """Seconds of a whole export to a bucket."""
    out = ("--out", f"s3://{bucket}", "--workers", str(workers), "-q")
    return _timed([*_command(source), *out])


def _command(source: Path) -> list[str]:
    options = ("--format", "wds", "--lpff", str(source), "--no-mirror", "--shards", "8")
    return [sys.executable, "-m", "lpff_shards", "export", *options]


def _timed(command: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def rival(files: Sequence[Path], bucket: str, processes: int) -> float:
    """Seconds of sending ready files by so many processes, which have sent something before."""
    senders = []
    for number in range(processes):
        own = json.dumps([bucket, [str(file) for file in files[number::processes]]])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        senders.append(subprocess.Popen([sys.executable, "-c", _SEND, own], **pipes))  # type: ignore[call-overload]
    for sender in senders:
        sender.stdout.readline()
    start = time.perf_counter()
    for sender in senders:
        sender.communicate(b"\n")
    taken = time.perf_counter() - start
    if any(sender.returncode for sender in senders):
        raise RuntimeError("a sender failed")
    return taken


def compare(source: Path, ready: Path, runs: int) -> None:
    """Prints the table."""
    files = sorted(ready.glob("*.tar"))
    size = sum(file.stat().st_size for file in files) / 1e6
    times: dict[tuple[str, int], list[float]] = {}
    numbers = count()
    for _ in range(runs):
        for workers in WORKERS:
            for name in ("ready files", "export"):
                # A server of its own each time, since moto keeps what it was sent in memory.
                with server() as url:
                    os.environ.update({**_KEYS, "AWS_ENDPOINT_URL": url})
                    bucket = f"bucket-{next(numbers)}"
                    urllib.request.urlopen(urllib.request.Request(f"{url}/{bucket}", method="PUT"))
                    taken = ours(source, bucket, workers) if name == "export" else rival(files, bucket, workers)
                times.setdefault((name, workers), []).append(taken)
    print(f"{len(files)} shards, {size:.0f} MB\n")
    print("| processes | ready files, MB/s | whole export, MB/s | ratio |\n|---:|---:|---:|---:|")
    for workers in WORKERS:
        sent, made = (size / statistics.median(times[name, workers]) for name in ("ready files", "export"))
        print(f"| {workers} | {sent:.0f} | {made:.0f} | {made / sent:.2f} |")


def main() -> None:
    """Makes the input and compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        source, ready = Path(folder, "LPFF"), Path(folder, "ready")
        generate(source, given.pictures, 512)
        subprocess.run([*_command(source), "--out", str(ready), "-q"], check=True)
        compare(source, ready, given.runs)


if __name__ == "__main__":
    main()
