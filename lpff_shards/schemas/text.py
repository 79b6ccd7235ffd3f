"""Text for people and files: counts in words, suggestions for misspelled words, and escaping of untrusted text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher


def format_count(count: int, what: str) -> str:
    """Return a count with its noun: 1 shard, 1,024 shards."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def alternatives(words: Iterable[str]) -> str:
    """Return alternatives in words: a, b or c."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def format_bytes(number: float) -> str:
    """Return a number of bytes in words: 1.7 GB."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"


def format_exact_bytes(number: int) -> str:
    """Return a number of bytes in the form of options, in the largest unit without a fraction: 256MB, 1GB, 1500."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


def format_rate(samples: int, written: int, seconds: float) -> str:
    """Return samples and bytes per second in words."""
    seconds = max(seconds, 1e-6)
    megabytes = written / seconds / 1e6
    return f"{samples / seconds:,.0f} pictures/s, {megabytes:,.{0 if megabytes >= 10 else 1}f} MB/s"


_CUTOFF = 0.6
"""Smallest similarity of a suggestion, 0 to 1: the default of `get_close_matches`."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return the first sentence of a hint, with a space after it; empty without a close word.

    Case and leading dashes of options are ignored. A word that begins with three or more given letters is closest. The
    first of equally close words is suggested: `difflib.get_close_matches` returns the last by the alphabet, CC-BY-2.5
    for CC-BY-2.
    """
    plain = given.casefold().lstrip("-")

    def likeness(word: str) -> float:
        other = word.casefold().lstrip("-")
        return 1 if len(plain) > 2 and other.startswith(plain) else SequenceMatcher(None, plain, other).ratio()

    best = max(allowed, key=likeness, default="")
    return f"Did you mean {best}? " if best and likeness(best) >= _CUTOFF else ""


def choice_hint(given: str, allowed: Iterable[str]) -> str:
    """Return the hint for a word that is not on a list."""
    words = list(allowed)
    return f"{did_you_mean(given, words)}It is one of: {', '.join(words)}"


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
    import json

    import msgspec

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
