"""Frames of the child protocol: 4 bytes of length, big endian, then one JSON object (docs/CHILD-PROTOCOL.md §2)."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from typing import Any, Dict, Mapping, NoReturn, Optional

__all__ = ["Connection", "FRAME_MAX", "GONE", "ProtocolError", "connect", "encode", "end_process"]

#: Most bytes of JSON in one frame, both ways.
FRAME_MAX = 8 * 1024 * 1024
#: Read from the socket at once.
_CHUNK = 256 * 1024

#: The exit code of a child whose connection ended without ``drain``.
GONE = 70
#: What a descriptor is that somebody else has closed, or that stands for something else by now.
_LOST = (errno.EBADF, errno.ENOTSOCK)

# No spaces: a tile has a thousand shards.
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ProtocolError(Exception):
    """The other side broke the protocol."""


def end_process(why: str) -> NoReturn:
    """Ends the process at once, where it cannot talk with its worker any more and could not say so: the worker sees it die, and
    gives its shards to others. Takes no lock, and needs nothing but the descriptor of standard error."""
    try:
        os.write(2, f"gridloom: the process ends: {why}\n".encode("utf-8", "replace"))
    except OSError:
        pass
    os._exit(GONE)


def encode(message: Mapping[str, Any]) -> bytes:
    """The frame of a message."""
    # What is no text (half of a surrogate pair) becomes a question mark: a frame that is no UTF-8 would end everything.
    body = _dumps(message).encode("utf-8", "replace")
    if len(body) > FRAME_MAX:
        raise ValueError(f"a message of {len(body)} bytes, {FRAME_MAX} are the most")
    return len(body).to_bytes(4, "big") + body


class Connection:
    """One end of the socket. Many threads may send; one receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.settimeout(None)  # the program may have set another one for all sockets (socket.setdefaulttimeout)
        self._sending = threading.Lock()
        self._buffer = bytearray()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a message. Where nobody hears it any more nothing happens: whoever receives notices the end. Where somebody
        has closed the descriptor nobody would notice, as :meth:`receive` waits for ever then: the process ends."""
        frame = encode(message)
        try:
            with self._sending:
                self._sock.sendall(frame)
        except OSError as error:
            # One that was closed here has no descriptor.
            if error.errno in _LOST and self._sock.fileno() != -1:
                end_process("its connection was closed by other code, as by os.closerange in a handler")

    def receive(self) -> Optional[Dict[str, Any]]:
        """The next message; ``None`` when the connection has ended."""
        body = self._body()
        if body is None:
            return None
        try:
            message = json.loads(body.decode())
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"a frame that is no JSON: {error}") from error
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise ProtocolError("a frame that is no JSON object with a type")
        return message

    def _body(self) -> Optional[bytes]:
        if not self._fill(4):
            return None
        length = int.from_bytes(self._buffer[:4], "big")
        if not 0 < length <= FRAME_MAX:
            raise ProtocolError(f"a frame of {length} bytes, 1 to {FRAME_MAX} are allowed")
        if not self._fill(4 + length):
            return None
        body = bytes(memoryview(self._buffer)[4 : 4 + length])
        del self._buffer[: 4 + length]
        return body

    def _fill(self, wanted: int) -> bool:
        """Room is taken for what has arrived, not for what a length says."""
        while len(self._buffer) < wanted:
            try:
                chunk = self._sock.recv(_CHUNK)
            except socket.timeout:
                raise
            except OSError:
                chunk = b""
            if not chunk:
                return False
            self._buffer += chunk
        return True

    def settimeout(self, seconds: Optional[float]) -> None:
        """How long :meth:`receive` waits."""
        self._sock.settimeout(seconds)

    def hear_no_more(self) -> None:
        """Whoever receives hears that it has ended, now; what is sent still goes out."""
        try:
            self._sock.shutdown(socket.SHUT_RD)
        except OSError:
            pass

    def end(self) -> None:
        """Ends the connection; the other side and whoever receives here notice."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._sock.close()

    def forget(self) -> None:
        """Closes the descriptor alone: in a process that was forked, whose parent goes on with the connection."""
        self._sock.close()


def connect(address: str) -> Connection:
    """Connects to where ``GRIDLOOM_SOCKET`` says: a path, or ``tcp:HOST:PORT``."""
    if not address.startswith("tcp:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return Connection(sock)
    host, _, port = address[len("tcp:") :].rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"GRIDLOOM_SOCKET={address!r}: write it as a path or as tcp:127.0.0.1:PORT")
    sock = socket.create_connection((host.strip("[]"), int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(sock)
