"""Escape untrusted text for JSON, Markdown, CSV and HTML. `errors.printable` escapes it for terminals."""

from __future__ import annotations

import json
import re

import msgspec

_OTHERS = re.compile(r"[^\x00-\x7e]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")
_ITEM = re.compile(r"^(?:([0-9]+)(?=\.)|(?=[-=]+(?: |$)))")
"""Beginnings of a line that Markdown reads as a list item or as the underline of a heading."""
_LINK = re.compile(r"(?<=www)\.|(?<=http):|(?<=https):|(?<=ftp):", re.IGNORECASE)
"""Text that some Markdown renderers turn into a link."""
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9./:@%?=,;-]+")
_URL = re.compile(r"https?://[!-;=?-~]+")
_FORMULA = frozenset("=+-@\t\r\n'＝＋－＠")
# CSV quotes line breaks; right-to-left names need the other marks.
_COMMANDS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")


def as_json(value: object) -> str:
    """Return a value as ASCII JSON, which every locale and terminal can print."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=1).decode()
    except UnicodeEncodeError:
        # A path that is not UTF-8.
        text = json.dumps(msgspec.to_builtins(value), indent=1)
    return _OTHERS.sub(lambda one: "\\u007f" if one[0] == "\x7f" else json.dumps(one[0])[1:-1], text)


def markdown(text: str) -> str:
    """Return a text escaped for Markdown, on one line, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _ITEM.sub(r"\1\\", _LINK.sub(r"\\\g<0>", _MARKDOWN.sub(r"\\\1", line)))


def markdown_url(url: str) -> str:
    """Return a URL for Markdown; only http and https URLs become links."""
    if _PLAIN_URL.fullmatch(url):
        return url
    return f"<{url}>" if _URL.fullmatch(url) else markdown(url)


def csv_cell(text: str) -> str:
    """Return a text for a cell of a CSV table.

    A text that a spreadsheet would read as a formula gets an apostrophe before it. So does one that begins with an
    apostrophe: dropping the first apostrophe always restores the text. Control characters are escaped.
    """
    safe = _COMMANDS.sub(lambda one: repr(one[0])[1:-1], text)
    return f"'{safe}" if safe[:1] in _FORMULA and safe else safe


def html(value: object) -> object:
    """Return a value without control characters, for a template that escapes HTML."""
    return _COMMANDS.sub("\ufffd", value) if type(value) is str else value
