"""What can go wrong with a request, for which requests, and which of them it hits: the same ones in every run."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import unquote

Kind = Literal[
    "error",  # an answer of `status` and `code`; the server sees nothing of the request
    "reset",  # the connection is reset once the request is read; the server sees nothing of it
    "reset-upload",  # the connection is reset in the middle of the request's body; the server sees nothing of it
    "lost-answer",  # the server does what it is asked to, then the connection is reset
    "reset-answer",  # the connection is reset in the middle of the answer's body
    "short-answer",  # the connection is closed in the middle of the answer's body
    "short-upload",  # the server is given the start of the body only, and takes it for the whole
    "slow",  # the answer comes `seconds` late
    "hold",  # the server is given the start of the body, and no more before it is released
]
KINDS = get_args(Kind)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, and which requests it is for; without more, for all of them.

    `method` and `path` are regular expressions: of the whole method, and of what is anywhere in the path with its query
    (percent-decoded); `header` is the name of one that they have. Of the requests that they take, the first `skip` are
    left alone, then every `every`-th is hit, `times` of them at most; `share` instead hits about that share of
    requests, chosen by the seed, the request and how often it came before, so that neither the order of requests nor
    their number at once matters. `at` is where in a body it goes wrong, from 0 to 1.
    """

    kind: Kind
    method: str = ".*"
    path: str = ""
    every: int = 1
    skip: int = 0
    times: int | None = None
    share: float = 1.0
    at: float = 0.5
    status: int = 503
    code: str = "SlowDown"
    seconds: float = 0.0
    header: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.every < 1 or not 0 <= self.share <= 1 or not 0 <= self.at <= 1:
            raise ValueError(f"no such fault: {self}")

    def takes(self, method: str, target: str, header: Callable[[str], str | None]) -> bool:
        """Whether a request is one of those that it is for."""
        named = not self.header or header(self.header) is not None
        return bool(named and re.fullmatch(self.method, method) and re.search(self.path, unquote(target)))


def expired_s3(**which: str | int) -> Fault:
    """S3's answer to a session token that is too old."""
    return Fault("error", status=400, code="ExpiredToken", **which)  # type: ignore[arg-type]


def expired_gcs(**which: str | int) -> Fault:
    """Google's answer to a token that is too old."""
    return Fault("error", status=401, code="AuthenticationRequired", **which)  # type: ignore[arg-type]


class Faults:
    """Chooses what goes wrong with each request, and counts."""

    def __init__(self, faults: tuple[Fault, ...] = (), seed: int = 0) -> None:
        self._faults = faults
        self._seed = seed
        self._taken = [0] * len(faults)
        self._hit = [0] * len(faults)
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def choose(self, method: str, target: str, header: Callable[[str], str | None] = lambda _: None) -> Fault | None:
        """The first fault that hits this request."""
        # The id of an upload differs from run to run.
        name = re.sub(r"uploadId=[^&]*", "", target)
        with self._lock:
            self._seen[method, name] += 1
            time = self._seen[method, name]
            for index, fault in enumerate(self._faults):
                if fault.takes(method, target, header) and self._hits(index, fault, f"{method} {name} {time}"):
                    self._hit[index] += 1
                    return fault
        return None

    @property
    def hit(self) -> list[int]:
        """How many requests each fault has hit."""
        with self._lock:
            return list(self._hit)

    def _hits(self, index: int, fault: Fault, request: str) -> bool:
        self._taken[index] += 1
        counted = self._taken[index] - fault.skip
        if counted <= 0 or counted % fault.every or self._hit[index] == fault.times:
            return False
        digest = hashlib.blake2b(f"{self._seed} {index} {request}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < fault.share * 2**64
