"""Commands in processes of their own that start in a tenth of the time: one process loads the package and forks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Both sides speak lines: an order in JSON, the child's process id, a word to wait for it, its exit status with the
# seconds and kilobytes that it took.
SERVER = """
import contextlib, gc, importlib, json, os, sys
import portraits
import lpff_shards.api, lpff_shards.verify
import lpff_shards.commandline.progress, lpff_shards.commandline.summary, lpff_shards.sidecars.card
from lpff_shards.cli import main
from lpff_shards.formats.registry import NAMES, get_format

portraits.keep()
# Imported by most commands in the middle of their work, which takes a fifth of a short one's time.
for name in NAMES:
    get_format(name)
for name in ("google.auth.transport.requests", "google_crc32c", "multiprocessing.popen_fork", "numpy.ma", "pyspng"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
# What is here stays untouched, by the children too: half of what a short command costs is looking through it.
gc.freeze()
while line := sys.stdin.readline():
    pid = os.fork()
    if pid == 0:
        order = json.loads(line)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        for fd, name in enumerate((os.devnull, order["out"], order["err"])):
            os.dup2(os.open(name, os.O_WRONLY if fd else os.O_RDONLY), fd)
        exec(order["prelude"], {"__name__": "prelude"})
        sys.argv = order["argv"]
        main()
        sys.exit()
    print(pid, flush=True)
    sys.stdin.readline()
    _, status, used = os.wait4(pid, 0)
    print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss, flush=True)
"""


class Forks:
    """Runs of the command, one at a time.

    Args:
        first: code that the process that forks runs first.
        more: further environment variables of it.

    Attributes:
        used: CPU seconds and kilobytes of memory of the last run.
    """

    def __init__(self, first: str = "", **more: str) -> None:
        self.used = 0.0, 0
        # As the console script has it: more threads would keep the command from forking its workers.
        here = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": here, **more}
        self._server = subprocess.Popen(
            [sys.executable, "-c", first + SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._logs = tempfile.TemporaryDirectory()
        self._argv: list[str] = []

    def start(self, *args: object, prelude: str = "") -> int:
        """Starts the command, after some code, and returns its process id, which stays its own until `end`."""
        out, err = self._log("out"), self._log("err")
        out.write_text("")
        err.write_text("")
        self._argv = ["lpff-shards", *map(str, args)]
        place = {"folder": str(Path.cwd()), "environment": dict(os.environ), "out": str(out), "err": str(err)}
        return int(self._ask(json.dumps({"argv": self._argv, "prelude": prelude, **place})))

    def end(self) -> subprocess.CompletedProcess[str]:
        """Waits for what was started."""
        status, seconds, kilobytes = self._ask("").split()
        self.used = float(seconds), int(kilobytes)
        return subprocess.CompletedProcess(
            self._argv, int(status), self._log("out").read_text(), self._log("err").read_text()
        )

    def run(self, *args: object, prelude: str = "") -> subprocess.CompletedProcess[str]:
        """The command from beginning to end."""
        self.start(*args, prelude=prelude)
        return self.end()

    def close(self) -> None:
        """Ends the process that forks."""
        self._server.communicate(timeout=30)
        self._logs.cleanup()

    def _log(self, name: str) -> Path:
        return Path(self._logs.name) / name

    def _ask(self, line: str) -> str:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(line, file=self._server.stdin, flush=True)
        return self._server.stdout.readline()
