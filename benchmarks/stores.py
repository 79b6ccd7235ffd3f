"""obstore beside s3fs and gcsfs on local servers; needs obstore, s3fs, gcsfs, moto[s3], flask and flask-cors.

Each measurement is a process of its own; all of them are interleaved. The servers share the machine with the clients,
so seconds tell about both, and the client's CPU time per GB is the fairest figure. `sink` forgets what it is given and
costs next to nothing; moto and our GCS server keep and check it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.store_clients import Job, Took
from tests.servers.child import Child

SIZE = 64 << 20
WORDS = {
    "put_file": "files of 64 MiB uploaded",
    "write": "objects of 64 MiB written by 450 KB",
    "read": "objects of 64 MiB read",
    "read_range": "450 KB read at random",
    "put": "objects of 5 KB put",
}


@dataclass(frozen=True)
class Server:
    """A server, who is compared on it, and how many calls of each kind that makes in a run."""

    title: str
    module: str
    libraries: tuple[str, ...]
    calls: dict[str, int]


def servers(scale: int) -> list[Server]:
    """The sink takes 1 GiB of each kind at scale 16; moto, which is slow, and our GCS server take less."""
    full = {"put_file": scale, "write": scale, "read": scale, "read_range": 128 * scale, "put": 64 * scale}
    less = {"put_file": scale // 4, "write": scale // 4, "read": scale // 4, "read_range": 4 * scale, "put": 16 * scale}
    s3 = ("obstore s3", "obstore s3, bodies not signed", "s3fs")
    return [
        Server("S3, sink", "sink", s3, full),
        Server("S3, moto", "s3", (s3[0], s3[2]), less),
        Server("GCS, sink", "sink", ("obstore gcs", "gcsfs"), full),
        Server("GCS, ours", "gcs", ("obstore gcs", "gcsfs"), less),
    ]


def jobs(server: Server, url: str, file: str) -> Iterator[Job]:
    """Writing comes before reading; one and four at once."""
    for work, count in server.calls.items():
        for at_once in (1, 4):
            for library in server.libraries:
                yield Job(library, url, work, count, SIZE, server.calls["write"], at_once, file)


def run(job: Job) -> Took:
    """One measurement, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.store_clients", json.dumps(asdict(job))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return Took(**json.loads(done.stdout))


def table(server: Server, took: dict[Job, list[Took]]) -> Iterator[str]:
    """Medians, a line a measurement."""
    yield f"\n| {server.title} | at once | library | MB/s | calls/s | client CPU s/GB |\n|---|---|---|---|---|---|"
    for job, runs in took.items():
        seconds = statistics.median(one.seconds for one in runs)
        cpu = statistics.median(one.cpu for one in runs)
        moved = runs[0].moved
        rates = f"{moved / seconds / 1e6:,.0f} | {job.count / seconds:,.0f} | {cpu / (moved / 1e9):.2f}"
        yield f"| {WORDS[job.work]} | {job.at_once} | {job.library} | {rates} |"


def measure(server: Server, file: str, repeat: int) -> dict[Job, list[Took]]:
    """Every job, over and over, in turn."""
    with Child(server.module) as child:
        urllib.request.urlopen(urllib.request.Request(f"{child.url}/bucket", method="PUT")).close()
        took: dict[Job, list[Took]] = {job: [] for job in jobs(server, child.url, file)}
        for _ in range(repeat):
            for job, runs in took.items():
                runs.append(run(job))
        return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=16, help="objects of 64 MiB in a run on the sink")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file")
        file.write_bytes(os.urandom(SIZE))
        for server in servers(arguments.scale):
            print("\n".join(table(server, measure(server, str(file), arguments.repeat))), flush=True)


if __name__ == "__main__":
    main()
