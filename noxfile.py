"""`nox` reads exports with other readers, a group readers-* of dependencies each, runs Ray, and opens a report.

`nox -s tests` runs the tests on each Python that is supported and at hand.
`nox -s endurance` and `nox -s fuzz` take longer and run when they are named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.2.9"
# uv installs several GB of readers in a tenth of pip's time.
nox.options.default_venv_backend = "uv|venv"
# A Python that a machine lacks is skipped, and nox says so; by default it fails where CI is set.
nox.options.error_on_missing_interpreters = False

# uv does not read pip's settings, which may name the only index at hand, or a folder of wheels.
_UV = {"index-url": "UV_DEFAULT_INDEX", "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE"}
settings = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
for line in settings.stdout.splitlines():
    name, _, value = line.partition("=")
    if variable := _UV.get(name.rpartition(".")[2]):
        os.environ.setdefault(variable, ",".join(value.strip("'").split()))

PREFIX = "readers-"
PROJECT = nox.project.load_toml("pyproject.toml")
ENVIRONMENTS = [name.removeprefix(PREFIX) for name in PROJECT["dependency-groups"] if name.startswith(PREFIX)]
PYTHONS = nox.project.python_versions(PROJECT)
"""Those that the package's classifiers tell of, the oldest first."""
SHORT = ("cli", "lifecycle", "manners", "places", "sample_index", "threads")
"""Tests of what differs between Pythons: paths, processes, SQLite, warnings."""

if shutil.which("pyenv") and "PYENV_VERSION" not in os.environ:
    # pyenv puts a name for each of its Pythons on the PATH, and by itself lets only the chosen ones run.
    told = (subprocess.run(["pyenv", *words], capture_output=True, text=True, check=False).stdout
            for words in (["version-name"], ["versions", "--bare"]))  # fmt: skip
    os.environ["PYENV_VERSION"] = ":".join("\n".join(told).split())


# Debian's Pythons have no ensurepip of their own, which venv needs and virtualenv does not.
@nox.session(python=PYTHONS, venv_backend="virtualenv", default=False)
def tests(session: nox.Session) -> None:
    """Run the tests on each supported Python that is here; pytest takes what follows `--`."""
    session.install(".[test]")
    session.run("pytest", "-n", "auto", "--dist", "loadfile", *session.posargs)


@nox.session(python=PYTHONS, venv_backend="virtualenv", default=False)
def short(session: nox.Session) -> None:
    """Run the tests that tell Pythons apart, without TensorFlow and buckets: a minute or two."""
    session.install(".[report,webdataset]", "hypothesis>=6.100", "pytest>=8", "pytest-xdist>=3.5")
    files = (f"tests/test_{name}.py" for name in SHORT)
    session.run("pytest", "-n", "auto", "--dist", "loadfile", *files, *session.posargs)


BESIDE = {"tensorflow": ("containers_example", "containers_tfrecord", "picture_meaning", "png")}
"""Test files that compare us with a reader where it is installed, by its environment."""

LONG = (
    *("filters", "formats", "killed", "mix_options"),
    *("num_replicas", "sampler", "shard_slices", "shard_source_damage", "splits", "verify", "containers_zip"),
)
"""Test files that try more kills, flips and examples in `nox -s endurance`."""


@nox.session
@nox.parametrize("environment", ENVIRONMENTS, ids=ENVIRONMENTS)
def readers(session: nox.Session, environment: str) -> None:
    """Install some readers and run their tests; `nox -R` keeps what is installed, pytest takes what follows `--`."""
    session.notify("report")
    results = _results(session) / f"{environment}.xml"
    try:
        session.install(*nox.project.dependency_groups(PROJECT, f"{PREFIX}{environment}"))
    except CommandFailed:
        session.skip(f"the environment {environment} cannot be installed; pip tells why above")
    # The pages make reports too.
    session.install(".[report]")
    tests = ["tests/readers", *(f"tests/test_{name}.py" for name in BESIDE.get(environment, ()))]
    session.run("pytest", "-n", "auto", "--dist", "loadfile", *tests, f"--junit-xml={results}", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Open a report in headless Chromium; skips, and says so, where no browser is installed."""
    session.install(*nox.project.dependency_groups(PROJECT, "browser"))
    session.install(".[report]")
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def ray(session: nox.Session) -> None:
    """Export on a local Ray cluster, and kill its nodes."""
    session.install(*nox.project.dependency_groups(PROJECT, "ray"))
    session.install(".[gcs,parquet,s3]")
    session.run("pytest", "tests/test_ray.py", "tests/test_ray_buckets.py", *session.posargs)


@nox.session(default=False)
def endurance(session: nox.Session) -> None:
    """Disturb every system call of small exports and cut the power 3,000 times; the long forms of other tests."""
    session.install(*nox.project.dependency_groups(PROJECT, "endurance"), ".[parquet]")
    tests = session.posargs or ["tests/endurance", *(f"tests/test_{name}.py" for name in LONG)]
    session.run("pytest", "-n", "auto", "--dist", "worksteal", *tests, env={"LPFF_SHARDS_ENDURANCE": "1"})


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Feed changed inputs and exports for ten minutes, or LPFF_SHARDS_FUZZ_SECONDS."""
    session.install(*nox.project.dependency_groups(PROJECT, "fuzz"), ".[report]")
    seconds = os.environ.get("LPFF_SHARDS_FUZZ_SECONDS", "600")
    session.run("pytest", "-n", "auto", "tests/fuzz", *session.posargs, env={"LPFF_SHARDS_FUZZ_SECONDS": seconds})


@nox.session(venv_backend="none", default=False)
def report(session: nox.Session) -> None:
    """Tell which readers have run and which have not; runs by itself after the others."""
    outcomes: dict[str, list[str]] = {}
    for results in sorted(_results(session).glob("*.xml")):
        for case in ElementTree.parse(results).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}".partition("test_")[2].partition(".")[0]
            outcomes.setdefault(name, []).append(_outcome(case, results.stem))
    shutil.rmtree(_results(session))
    for reader in sorted(path.stem.removeprefix("test_") for path in Path("tests/readers").glob("test_*.py")):
        session.log(f"{reader:12} {_summary(outcomes.get(reader, []))}")


def _results(session: nox.Session) -> Path:
    """Where this run's sessions leave their results; what other runs left is none of it."""
    folder = Path(session.cache_dir, f"readers-{os.getpid()}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _outcome(case: ElementTree.Element, environment: str) -> str:
    """passed, failed, or why it was skipped."""
    if (skipped := case.find("skipped")) is not None:
        reason = skipped.get("message")
        if reason == "collection skipped":  # for a whole file the reason ends the text, a Python tuple as printed
            reason = f"{skipped.text}".rpartition("Skipped: ")[2].rstrip("')\"")
        return f"skipped in {environment}: {reason}"
    return "passed" if case.find("failure") is None and case.find("error") is None else "failed"


def _summary(outcomes: list[str]) -> str:
    """What ran; where nothing did, why not."""
    ran = [outcome for outcome in ("passed", "failed") if outcome in outcomes]
    if ran:
        return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ran)
    return "; ".join(sorted(set(outcomes))) or "skipped: no environment that has it has run"
