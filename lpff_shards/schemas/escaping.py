"""Text of others on its way out: a function for each place that it goes to. A terminal's is `errors.printable`."""

from __future__ import annotations

import json
import re

import msgspec

_OTHERS = re.compile(r"[^\x00-\x7e]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")
_ITEM = re.compile(r"^(?:([0-9]+)(?=\.)|(?=[-=]+(?: |$)))")
"""What Markdown takes for an item of a list, or for a line under a head."""
_LINK = re.compile(r"(?<=www)\.|(?<=http):|(?<=https):|(?<=ftp):", re.IGNORECASE)
"""What some readers of Markdown make a link of."""
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9./:@%?=,;-]+")
_URL = re.compile(r"https?://[!-;=?-~]+")
_FORMULA = frozenset("=+-@\t\r\n'＝＋－＠")
# Line breaks are left to the quotes of CSV; marks that right-to-left names need are left alone.
_COMMANDS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")


def as_json(value: object) -> str:
    """Return a value as JSON of ASCII alone, which every locale and every terminal takes as it is."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=1).decode()
    except UnicodeEncodeError:
        # A path that is not UTF-8.
        text = json.dumps(msgspec.to_builtins(value), indent=1)
    return _OTHERS.sub(lambda one: "\\u007f" if one[0] == "\x7f" else json.dumps(one[0])[1:-1], text)


def markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _ITEM.sub(r"\1\\", _LINK.sub(r"\\\g<0>", _MARKDOWN.sub(r"\\\1", line)))


def markdown_url(url: str) -> str:
    """Return a URL for Markdown, as a link only where it is one of http or https."""
    if _PLAIN_URL.fullmatch(url):
        return url
    return f"<{url}>" if _URL.fullmatch(url) else markdown(url)


def csv_cell(text: str) -> str:
    """Return a text for a cell of a table.

    One that a spreadsheet would take for a formula has an apostrophe before it, and so has one that begins with an
    apostrophe, so that whoever drops the first one gets the text again. Control characters are escaped.
    """
    safe = _COMMANDS.sub(lambda one: repr(one[0])[1:-1], text)
    return f"'{safe}" if safe[:1] in _FORMULA and safe else safe


def html(value: object) -> object:
    """Return what a template puts into HTML, where it is escaped: a text without control characters."""
    return _COMMANDS.sub("\ufffd", value) if type(value) is str else value
