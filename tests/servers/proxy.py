"""`python -m servers.proxy URL`: passes requests on to a server, and breaks those that it is told to break."""

from __future__ import annotations

import argparse
import socket
import threading
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from .exchange import Exchange
from .fault import Fault, Faults
from .parent import obey_parent
from .streams import Ended, Stream


class Proxy:
    """Threads that serve a connection each, and what they share."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._faults = Faults()
        self._methods: Counter[str] = Counter()
        self._held = 0
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Takes connections, for ever."""
        while True:
            connected, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(Stream(connected),), daemon=True).start()

    def obey(self, message: dict[str, Any]) -> dict[str, Any]:
        """`break` sets faults and counts anew, `release` lets held requests go on, `count` only tells the counts."""
        match message["do"]:
            case "break":
                faults = Faults(tuple(Fault(**fault) for fault in message["faults"]), message["seed"])
                with self._lock:
                    self._released.set()
                    self._released = threading.Event()
                    self._faults, self._methods = faults, Counter()
            case "release":
                self._released.set()
            case "count":
                pass
            case other:
                raise ValueError(f"unknown message: {other}")
        with self._lock:
            return {"methods": dict(self._methods), "hit": self._faults.hit, "held": self._held}

    def _serve(self, client: Stream) -> None:
        server: Stream | None = None

        def connect() -> Stream:
            nonlocal server
            server = server or Stream(socket.create_connection(self._upstream))
            return server

        try:
            while head := client.head():
                method, target, _ = head.words
                with self._lock:
                    self._methods[method] += 1
                    faults = self._faults
                if not Exchange(client, head, connect, self._hold).run(faults.choose(method, target, head.get)):
                    break
        except (Ended, OSError):
            # Either side is gone; so is the exchange.
            pass
        finally:
            client.close()
            if server:
                server.close()

    def _hold(self, client: Stream) -> None:
        """Waits until the test lets held requests go on, or the client is gone."""
        with self._lock:
            released = self._released
            self._held += 1
        try:
            while not released.wait(0.01):
                if client.hung_up():
                    raise Ended
        finally:
            with self._lock:
                self._held -= 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("upstream", type=urlsplit)
    upstream = parser.parse_args().upstream
    proxy = Proxy((upstream.hostname, upstream.port))
    threading.Thread(target=proxy.run, daemon=True).start()
    obey_parent(proxy.port, proxy.obey)


if __name__ == "__main__":
    main()
