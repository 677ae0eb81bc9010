"""A broker as far as one submission goes: it takes a message, acknowledges it, and hands on what a planner answers."""

from __future__ import annotations

import json
import socket
import threading
from types import TracebackType
from typing import Any, BinaryIO, Dict, Mapping, Optional, Type


class Broker:
    """Speaks NATS with one client."""

    def __init__(self, answer: Optional[Mapping[str, Any]]) -> None:
        self.subject, self.body, self.headers = "", None, {}  # type: str, Any, Dict[str, str]
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"nats://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        with sock, sock.makefile("rb") as lines:
            sock.sendall(b'INFO {"server_id":"x","version":"2.15.1","headers":true,"max_payload":1048576}\r\n')
            subscribed: Dict[str, str] = {}
            for line in lines:
                word, *rest = line.decode().split()
                if word == "PING":
                    sock.sendall(b"PONG\r\n")
                elif word == "SUB":
                    subscribed[rest[0]] = rest[-1]
                elif word == "HPUB":
                    self._take(lines, rest)
                    self._send(sock, subscribed, rest[1], {"stream": "gridloom-submit", "seq": 7})
                    if self._answer is not None:
                        self._send(sock, subscribed, self.headers["Gridloom-Reply"], self._answer)

    def _take(self, lines: BinaryIO, said: Any) -> None:
        self.subject, _, head, whole = said
        data = lines.read(int(whole) + 2)
        fields = [line.split(": ", 1) for line in data[: int(head)].decode().split("\r\n") if ": " in line]
        self.headers = {name: value for name, value in fields}
        self.body = json.loads(data[int(head) :])

    def _send(self, sock: socket.socket, subscribed: Dict[str, str], subject: str, said: Mapping[str, Any]) -> None:
        body = json.dumps(said).encode()
        wildcard = subject.rsplit(".", 1)[0] + ".*"
        number = subscribed.get(subject) or subscribed[wildcard]
        sock.sendall(f"MSG {subject} {number} {len(body)}\r\n".encode() + body + b"\r\n")

    def __enter__(self) -> Broker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._thread.join(20)
        self._listener.close()
