"""`--channel NAME=PATH[,KIND]`: files that belong to pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import recordable_path
from lpff_shards.schemas.text import alternatives

OfMirrors = Literal["same", "flip-last-axis"]
OPTIONAL = "optional"
_WORDS = (*get_args(OfMirrors), OPTIONAL)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,19}")
HELP = (
    "Files by picture id: masks (PNG), texts, NPY, NPZ, or a table; repeatable. KIND: same or flip-last-axis (arrays "
    "of mirrors), optional."
)


@dataclass(frozen=True, slots=True)
class GivenChannel:
    """One `--channel`.

    Attributes:
        path: of a folder, archive or table, or its URI.
        of_mirrors: how the arrays of mirrors are made; None if mirrors have files of their own.
        optional: whether pictures may lack a file.
    """

    name: str
    path: str
    of_mirrors: OfMirrors | None = None
    optional: bool = False

    @property
    def words(self) -> str:
        """The words after its path, each with a comma before it."""
        words = [self.of_mirrors, OPTIONAL if self.optional else None]
        return "".join(f",{word}" for word in words if word)


def given_channels(texts: Iterable[str]) -> tuple[GivenChannel, ...]:
    """Return the channels that the values of `--channel` describe.

    Raises:
        ShardsError: a name cannot be used or was given twice, or a word is unknown.
    """
    found: dict[str, GivenChannel] = {}
    if not texts:
        return ()
    from lpff_shards.schemas.fields import TAKEN

    for text in (texts,) if isinstance(texts, str) else texts:
        name, equals, rest = text.partition("=")
        path, words = rest, list[str]()
        while (last := path.rpartition(","))[2] in _WORDS and last[1]:
            path, words = last[0], [last[2], *words]
        if not (equals and name and path):
            hint = "Write it as in --channel mask=masks/ or --channel latent=latents/,same"
            raise ShardsError(f"--channel {text!r} is not NAME=PATH[,KIND]", hint)
        if not _NAME.fullmatch(name) or name in TAKEN or name.startswith("has_"):
            hint = "It starts with a-z, then a-z, 0-9 and _, 20 characters at most, and no field of samples has it"
            raise ShardsError(f"--channel {name}=... cannot have this name", hint)
        if name in found:
            raise ShardsError(f"--channel {name}=... was given twice", "Give it once")
        if len(set(words) - {OPTIONAL}) > 1:
            kinds = alternatives(get_args(OfMirrors))
            raise ShardsError(f"--channel {text} contradicts itself", f"Use {kinds}")
        of_mirrors: OfMirrors | None = next((kind for kind in get_args(OfMirrors) if kind in words), None)
        # Shells expand ~ only at the start of a word.
        place = recordable_path("--channel", os.path.expanduser(path))  # noqa: PTH111
        found[name] = GivenChannel(name, place, of_mirrors, OPTIONAL in words)
    return tuple(found.values())
