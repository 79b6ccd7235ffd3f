"""HTTP/1.1 for the servers: whole requests in, whole answers out, connections kept, one thread a connection."""

from __future__ import annotations

from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .messages import Answer


class Server(ThreadingHTTPServer):
    """A server on a free port of loopback; subclasses answer."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        """The answer to one request, whose body is whole."""
        raise NotImplementedError

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle of a request are what tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # A head and a small body leave in one packet.
    wbufsize = 1 << 16
    server: Server

    def do_GET(self) -> None:
        """Reads a whole request and answers it; a body that is cut short, or of unknown length, is no request."""
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            return
        self._send(self.server.answer(self.command, self.path, self.headers, body))

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def handle_expect_100(self) -> bool:
        """Tells a client that waits before it sends a body to go on, at once."""
        told = super().handle_expect_100()
        self.wfile.flush()
        return told

    def log_message(self, format: str, *args: Any) -> None:
        """Tests do not want a line a request."""

    def _send(self, answer: Answer) -> None:
        bare = answer.status in (204, 304)
        self.send_response(answer.status)
        for name, text in answer.headers.items():
            self.send_header(name, text)
        if not bare:
            self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        if self.command != "HEAD" and not bare:
            self.wfile.write(answer.body)
        self.wfile.flush()
