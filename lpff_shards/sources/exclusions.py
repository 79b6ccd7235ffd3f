"""The file of --exclude: withdrawn photos, one a line, by any of their names."""

from __future__ import annotations

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.keys import nfc
from lpff_shards.sources.ffhq_files import file_blob
from lpff_shards.sources.tree import read_whole


def read_exclusions(given: str) -> tuple[str, ...]:
    """The lines of the file as NFC, each once.

    Comments (from a # at the line's start or behind a space) and blanks are dropped.

    Raises:
        ShardsError: it cannot be read, or is not UTF-8.
    """
    try:
        text = nfc(read_whole(file_blob("--exclude", given)).decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ShardsError(f"--exclude {given} is not UTF-8 text", "Give one id a line") from None
    lines = (f" {line}".replace("\t", " ").partition(" #")[0].strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))
