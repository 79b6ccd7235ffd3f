"""The file of --exclude: withdrawn photos, one a line, by any of their names."""

from __future__ import annotations

import re

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.keys import nfc
from lpff_shards.sources.ffhq_files import file_blob
from lpff_shards.sources.io.tree import read_whole

_COMMENT = re.compile(r"(?:^|\s)#(?:\s.*)?$", re.DOTALL)


def read_exclusions(given: str) -> tuple[str, ...]:
    """The lines of the file as NFC, each once.

    Comments and blanks are dropped. A comment is a # at the line's start or behind a space, with a space behind it or
    nothing more: authors may be called `#1`.

    Raises:
        ShardsError: it cannot be read, or is not UTF-8.
    """
    try:
        text = nfc(read_whole(file_blob("--exclude", given)).decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ShardsError(f"--exclude {given} is not UTF-8 text", "Give one id a line") from None
    # Of all that Unicode takes for a line's end, names may hold the others.
    lines = (_COMMENT.sub("", line).strip() for line in re.split(r"\r\n|\r|\n", text))
    return tuple(dict.fromkeys(line for line in lines if line))
