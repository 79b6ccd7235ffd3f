"""`python -m servers.s3`: moto's S3 over connections that are kept; the server that moto brings closes them."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from email.message import Message
from typing import Any
from urllib.parse import unquote, urlsplit

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import run_wsgi_app

from . import http11
from .messages import Answer
from .parent import obey_parent

# Objects below stay in memory instead of temporary files.
MEMORY = "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"


class Server(http11.Server):
    """moto's application and the way there."""

    def __init__(self) -> None:
        super().__init__()
        self._application = DomainDispatcherApplication(create_backend_app)

    def answer(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        """What moto answers."""
        pieces, status, told = run_wsgi_app(self._application, self._environ(method, target, headers, body))
        answered = {name: text for name, text in told.items() if name.lower() != "content-length"}
        whole = b"".join(pieces)
        length = int(told.get("Content-Length", 0)) if method == "HEAD" else len(whole)
        return Answer(int(status.split()[0]), answered, whole, length)

    def _environ(self, method: str, target: str, headers: Message, body: bytes) -> dict[str, Any]:
        split = urlsplit(target)
        named = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
        return {
            **named,
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            # WSGI wants bytes in the shape of latin-1.
            "PATH_INFO": unquote(split.path, "latin-1"),
            "QUERY_STRING": split.query,
            "RAW_URI": target,
            "REQUEST_URI": target,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server_port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }


def main() -> None:
    os.environ[MEMORY] = str(1 << 30)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    obey_parent(server.server_port, _nothing)


def _nothing(message: dict[str, Any]) -> dict[str, Any]:
    raise ValueError(f"moto takes no messages: {message}")


if __name__ == "__main__":
    main()
