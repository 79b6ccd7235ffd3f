"""File systems on loop devices, and what a power cut leaves of them: what the kernel has written to the device."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """A kind of file system: how it is made and mounted."""

    name: str
    make: tuple[str, ...]
    size: int
    options: str

    def __str__(self) -> str:
        return self.name


# Without a sync nothing reaches the device for a minute, and ext4 as it comes guesses what programs forgot to sync.
KINDS = (
    Kind("ext4", ("mkfs.ext4", "-q", "-E", "lazy_itable_init=0"), 48 << 20, "commit=60"),
    Kind(
        "ext4-writeback", ("mkfs.ext4", "-q", "-E", "lazy_itable_init=0"), 48 << 20,
        "commit=60,data=writeback,noauto_da_alloc",
    ),
    Kind("xfs", ("mkfs.xfs", "-q", "-f"), 320 << 20, "defaults"),
)  # fmt: skip


def reason_to_skip(kind: Kind, folder: Path) -> str:
    """Why such a file system cannot be mounted here; empty where it can."""
    if shutil.which(kind.make[0]) is None:
        return f"{kind.make[0]} is not installed"
    image, root = folder / "tried.img", folder / "tried"
    root.mkdir()
    try:
        make(kind, image)
        with mounted(kind, image, root):
            return ""
    except subprocess.CalledProcessError as error:
        return f"{kind} cannot be mounted: {error.stderr.strip()}"
    finally:
        image.unlink(missing_ok=True)
        root.rmdir()


def make(kind: Kind, image: Path) -> None:
    """Makes an empty file system."""
    with image.open("wb") as file:
        file.truncate(kind.size)
    _run(*kind.make, image)


@contextmanager
def mounted(kind: Kind, image: Path, root: Path) -> Iterator[str]:
    """Mounts an image, and gives the name of its device."""
    _run("mount", "-o", f"loop,{kind.options}", image, root)
    try:
        number = root.stat().st_dev
        yield Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
    finally:
        _run("umount", root)


def snapshot(device: str, image: Path, copy: Path) -> None:
    """Copies what is on a device, once it rests; whoever writes to it is stopped."""
    for _ in range(200):
        before = _rests(device)
        shutil.copyfile(image, copy)
        if before and before == _rests(device):
            return
        time.sleep(0.005)
    raise AssertionError(f"{device} does not come to rest")


def sync(root: Path) -> None:
    """Brings all of a file system to its device."""
    _run("sync", "-f", root)


def _rests(device: str) -> str:
    """What the device has done; empty while it does something."""
    done = Path(f"/sys/block/{device}/stat").read_text()
    return "" if int(done.split()[8]) else done


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
