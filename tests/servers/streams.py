"""HTTP/1.1 messages over sockets, moved from one to the other with large buffers and no copies in between."""

from __future__ import annotations

import re
import select
import socket
import struct
from dataclasses import dataclass

BUFFER = 1 << 20
HEAD_ENDS = b"\r\n\r\n"


class Ended(Exception):
    """The other side closed the connection before the message was whole."""


@dataclass(frozen=True)
class Head:
    """A message's first line and headers."""

    raw: bytes

    @property
    def words(self) -> list[str]:
        """The first line's words."""
        return self.raw.split(b"\r\n", 1)[0].decode("latin-1").split(" ")

    def get(self, name: str) -> str | None:
        """A header's text."""
        match = re.search(rb"\r\n" + name.encode() + rb":[ \t]*([^\r]*)", self.raw, re.IGNORECASE)
        return match[1].decode("latin-1").strip() if match else None

    def having(self, name: str, text: str | None) -> Head:
        """With another text for a header, or without it."""
        line = b"" if text is None else f"\r\n{name}: {text}".encode()
        return Head(re.sub(rb"\r\n" + name.encode() + rb":[^\r]*", line, self.raw, flags=re.IGNORECASE))

    @property
    def length(self) -> int:
        """The length of the body; the servers here know of no other way to tell it."""
        return int(self.get("content-length") or 0)


class Stream:
    """One connection: what has been received and not yet used is kept."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self._left = b""
        self._buffer = memoryview(bytearray(BUFFER))

    def head(self) -> Head | None:
        """The next message's head; nothing if the other side has closed the connection between messages."""
        while HEAD_ENDS not in self._left:
            received = self.socket.recv(1 << 16)
            if not received:
                if self._left:
                    raise Ended
                return None
            self._left += received
        found, _, self._left = self._left.partition(HEAD_ENDS)
        return Head(found + HEAD_ENDS)

    def send(self, data: bytes | memoryview) -> None:
        """Sends all of it."""
        self.socket.sendall(data)

    def move(self, count: int, to: Stream | None) -> None:
        """Moves so many bytes on, or nowhere."""
        kept = self._left[:count]
        self._left = self._left[count:]
        if kept and to:
            to.send(kept)
        count -= len(kept)
        while count:
            received = self.socket.recv_into(self._buffer, min(count, BUFFER))
            if not received:
                raise Ended
            if to:
                to.send(self._buffer[:received])
            count -= received

    def take(self, count: int) -> bytes:
        """The next bytes, so many."""
        pieces = [self._left[:count]]
        self._left = self._left[count:]
        count -= len(pieces[0])
        while count:
            pieces.append(self.socket.recv(min(count, BUFFER)))
            if not pieces[-1]:
                raise Ended
            count -= len(pieces[-1])
        return b"".join(pieces)

    def hung_up(self) -> bool:
        """Whether the other side has closed the connection; not known where the system cannot tell."""
        poll = select.poll()
        hung_up = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
        poll.register(self.socket, hung_up)
        return bool(poll.poll(0))

    def reset(self) -> None:
        """Closes the connection the hard way: the other side is told that it was reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Closes the connection."""
        self.socket.close()
