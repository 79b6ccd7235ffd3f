"""One request and its answer through the proxy, whole or broken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .fault import Fault
from .streams import Ended, Head, Stream

Hold = Callable[[Stream], None]


@dataclass(frozen=True)
class Exchange:
    """A request whose head has been read from the client."""

    client: Stream
    head: Head
    connect: Callable[[], Stream]
    hold: Hold

    def run(self, fault: Fault | None) -> bool:
        """Goes through with it; whether the client's connection can be used again."""
        if self.head.get("expect"):
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        match fault:
            case Fault(kind="error"):
                self.client.move(self.head.length, None)
                self.client.send(error(fault, self.head.words[0]))
                return True
            case Fault(kind="reset" | "reset-upload"):
                self.client.move(int(self.head.length * (fault.at if fault.kind == "reset-upload" else 1)), None)
                self.client.reset()
                return False
        server = self._forward(fault)
        answer = server.head()
        if answer is None:
            raise Ended
        return self._answer(server, answer, fault)

    def _forward(self, fault: Fault | None) -> Stream:
        """Gives the server the request, or what the fault leaves of it."""
        server, length = self.connect(), self.head.length
        head = self.head.having("expect", None)
        if fault and fault.kind == "short-upload" and length:
            kept = int(length * fault.at)
            server.send(head.having("content-length", str(kept)).raw)
            self.client.move(kept, server)
            self.client.move(length - kept, None)
            return server
        server.send(head.raw)
        if fault and fault.kind == "hold":
            kept = int(length * fault.at)
            self.client.move(kept, server)
            self.hold(self.client)
            self.client.move(length - kept, server)
            return server
        self.client.move(length, server)
        return server

    def _answer(self, server: Stream, answer: Head, fault: Fault | None) -> bool:
        """Gives the client the answer, or what the fault leaves of it."""
        kind = fault.kind if fault else ""
        if fault and kind == "slow":
            time.sleep(fault.seconds)
        bare = self.head.words[0] == "HEAD" or answer.words[1] in ("204", "304")
        length = 0 if bare else answer.length
        if fault and kind in ("reset-answer", "short-answer", "lost-answer"):
            if kind != "lost-answer":
                self.client.send(answer.raw)
                server.move(int(length * fault.at), self.client)
            self.client.close() if kind == "short-answer" else self.client.reset()
            return False
        self.client.send(answer.raw)
        server.move(length, self.client)
        return True


def error(fault: Fault, method: str) -> bytes:
    """An answer as S3 and Google's XML API write errors."""
    text = f"<Code>{escape(fault.code)}</Code><Message>made by the test</Message><Details>made by the test</Details>"
    body = b"" if method == "HEAD" else f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{text}</Error>'.encode()
    head = f"HTTP/1.1 {fault.status} Broken\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
