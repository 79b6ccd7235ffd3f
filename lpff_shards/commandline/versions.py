"""Which libraries are at work, for those who compare two machines."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from lpff_shards._version import __version__

PACKING = (
    "numpy",
    "pillow",
    "pyspng",
    "simplejpeg",
    "isal",
    "zlib-ng",
    "blake3",
    "google-crc32c",
    "msgspec",
    "msgpack",
)
"""Those that read, make and check samples."""
LOADING = ("torch", "torchdata", "webdataset", "tensorflow", "tensorflow-cpu", "jax", "grain")
"""Those that loaders stand on; none of them need be there."""


def versions(names: Sequence[str]) -> str:
    """The versions of this program, of Python and of those of the libraries that are installed, in a line."""
    found = (f"{name} {number}" for name in names if (number := _version(name)))
    return ", ".join([f"lpff-shards {__version__}", f"Python {platform.python_version()}", *found])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
