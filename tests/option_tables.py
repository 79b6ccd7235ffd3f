"""The tables of docs/options.md, made from the options that the commands declare."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from lpff_shards.cli import cli

BLOCK = re.compile(r"<!-- options: (\w+) (\w+) -->\n.*?<!-- end -->\n", re.DOTALL)
"""A table: the command, and the title under which its help has the options."""


def with_tables(page: str) -> str:
    """Return a page with each of its tables as the commands declare it."""
    return BLOCK.sub(lambda block: _block(block[1], block[2]), page)


def titles(page: str) -> set[tuple[str, str]]:
    """The commands and titles of a page's tables."""
    return set(BLOCK.findall(page))


def _block(command: str, title: str) -> str:
    rows = "".join(f"| {name} | {does} |\n" for name, does in _rows(command, title))
    return f"<!-- options: {command} {title} -->\n| option | does |\n|---|---|\n{rows}<!-- end -->\n"


def _rows(command: str, title: str) -> Iterator[tuple[str, str]]:
    context = click.Context(cli.commands[command], info_name=command)
    for param in cli.commands[command].params:
        if isinstance(param, click.Option) and getattr(param, "section", None) == title:
            record = param.get_help_record(context)
            assert record is not None
            names, does = (" ".join(text.split()).replace("|", "\\|") for text in record)
            yield f"`{names}`", does
