"""Types of options: how their values are read, and what the shell offers for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from lpff_shards.options.rules import one_of
from lpff_shards.options.share import Share

_POWERS = "KMGT"


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """Bytes, as in 256MB, 1GiB or 1000000: K, M, G and T count by 1000, with or without B; KiB to TiB by 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([KMGT])(IB|B)?|B)?", str(value).strip().upper(), re.ASCII)
        if match is None:
            self.fail(f"{value!r} is not a size; write 256MB, 1GiB or a number of bytes", param, ctx)
        if len(match[1]) > 15:
            self.fail(f"{match[1][:15]}... is more bytes than any disk holds", param, ctx)
        step = 1024 if match[3] == "IB" else 1000
        return int(float(match[1]) * step ** (_POWERS.index(match[2]) + 1 if match[2] else 0))


class ShareText(click.ParamType):  # type: ignore[type-arg]
    """A share of the tasks, as in 2/4."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Share:  # noqa: ARG002
        return value if isinstance(value, Share) else Share.parse(str(value))


class Choice(click.Choice):  # type: ignore[type-arg]  # generic only since click 8.2
    """One of a list of words; a wrong one is told the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        one_of(param.opts[0] if param else "it", str(value), [str(choice) for choice in self.choices])
        return super().convert(value, param, ctx)


class PathText(StringParamType):
    """A path, taken as it was typed: whether it is there, whoever reads it tells. The shell completes it as a path.

    Args:
        folder: whether it can only be a folder, else it may be a file too.
    """

    def __init__(self, *, folder: bool = False) -> None:
        self.kind = "dir" if folder else "file"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """What the shell offers for a text begun so."""
        return [CompletionItem(incomplete, type=self.kind)]


class Words(StringParamType):
    """Any text, for which the shell offers words.

    Args:
        words: gives them when they are asked for.
        listed: whether the text may be several words with commas between them.
    """

    def __init__(self, words: Callable[[], Sequence[str]], *, listed: bool = False) -> None:
        self.words = words
        self.listed = listed

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """What the shell offers for a text begun so."""
        before, comma, begun = incomplete.rpartition(",") if self.listed else ("", "", incomplete)
        taken = before.casefold().split(",")
        left = (word for word in self.words() if word.casefold() not in taken)
        return [CompletionItem(before + comma + word) for word in left if word.casefold().startswith(begun.casefold())]
