"""`python -m servers.gcs`: Google Cloud Storage in memory, its XML API and what is needed of its JSON API.

Emulators of it speak JSON only, and obstore speaks XML.
"""

from __future__ import annotations

import threading
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import gcs_json, gcs_xml, http11
from .blobs import Buckets, Refused
from .messages import Answer, Request
from .parent import obey_parent


class Server(http11.Server):
    """The buckets, and the only token that is taken, if one is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._buckets = Buckets()
        self._sessions = gcs_json.Sessions()
        self._token: str | None = None

    def obey(self, message: dict[str, Any]) -> dict[str, Any]:
        """`{"token": TEXT or null}`: from now on only requests that bear it are served."""
        self._token = message["token"]
        return {}

    def answer(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        """The answer of the interface that the path belongs to."""
        split = urlsplit(target)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        lower = {name.lower(): text for name, text in headers.items()}
        request = Request(method, split.path, query, lower, body, lower.get("host", ""))
        speaks_json = split.path.startswith(gcs_json.PATHS)
        try:
            if self._token is not None and lower.get("authorization") != f"Bearer {self._token}":
                raise Refused(401, "AuthenticationRequired", "Authentication required.")
            if speaks_json:
                return gcs_json.answer(self._buckets, self._sessions, request)
            return gcs_xml.answer(self._buckets, request)
        except Refused as refused:
            return gcs_json.refusal(refused) if speaks_json else gcs_xml.refusal(refused)


def main() -> None:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    obey_parent(server.server_port, server.obey)


if __name__ == "__main__":
    main()
