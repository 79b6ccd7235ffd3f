"""Format counts, sizes and rates in words."""

from __future__ import annotations

from collections.abc import Iterable


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
