"""Starts ``gridloom worker --attach`` beside a program that is its own main process."""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Callable, Optional, Sequence, Tuple, Type

from .frames import Connection, ProtocolError

__all__ = ["Engine", "WorkerGone"]

#: Longest path of a Unix socket that every system takes.
_PATH_MAX = 100
#: How long the worker has to say its first word, once connected.
_ATTACH_S = 10.0
#: How often it is looked whether it has ended.
_LOOK_S = 0.1
#: How long it has to end after `drain`.
_END_S = 30.0


class WorkerGone(Exception):
    """The ``gridloom worker`` beside this program has ended, and nobody had told it to."""


class Engine:
    """The worker that holds leases, writes the ledger, and sends shards."""

    def __init__(
        self, *, queue: Optional[str], nats: Optional[str], options: Sequence[str], command: Optional[str]
    ) -> None:
        self._command, self._options = command, list(options)
        self._variables = {"GRIDLOOM_WORKER_QUEUES": queue, "GRIDLOOM_NATS": nats}

    def start(self) -> Engine:
        """Starts it; it connects to a socket that nobody else can find or know the token of."""
        command = self._command or _found()
        self._folder = tempfile.TemporaryDirectory(prefix="gridloom-")
        self._socket, address = _listen(os.path.join(self._folder.name, "worker"))
        self._socket.settimeout(_LOOK_S)
        self._token = secrets.token_hex(16)
        # Not among the arguments, which everybody on the machine sees.
        variables = {name: value for name, value in self._variables.items() if value is not None}
        variables.update(GRIDLOOM_SOCKET=address, GRIDLOOM_TOKEN=self._token)
        arguments = [command, "worker", "--attach", *self._options]
        try:
            self._process = subprocess.Popen(arguments, env={**os.environ, **variables}, stdin=subprocess.DEVNULL)
        except OSError:
            self._close()
            raise
        return self

    def accept(self, given_up: Callable[[], bool]) -> Optional[Connection]:
        """The connection on which it has said who it is; ``None`` where nobody wants it any more."""
        while not given_up():
            code = self._process.poll()
            if code is not None:
                raise WorkerGone(f"gridloom worker ended with exit code {code} before it had begun: it says why above")
            try:
                sock, _ = self._socket.accept()
            except socket.timeout:
                continue
            connection = Connection(sock)
            if self._is_it(connection):
                connection.settimeout(None)
                return connection
            connection.end()
        return None

    def _is_it(self, connection: Connection) -> bool:
        connection.settimeout(_ATTACH_S)
        try:
            said = connection.receive() or {}
        except (ProtocolError, OSError):
            return False
        token = str(said.get("token", "")).encode("utf-8", "replace")
        return said.get("type") == "attach" and hmac.compare_digest(token, self._token.encode())

    def ended(self, drained: bool) -> None:
        """Raises :class:`WorkerGone` unless it had said that it would end."""
        try:
            code: object = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = None
        if not drained:
            raise WorkerGone(f"gridloom worker is gone (exit code {code}): what ran here was told to stop")

    def _close(self) -> None:
        self._socket.close()
        self._folder.cleanup()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _found() -> str:
    """The command: beside this Python, where its wheel puts it, or in ``PATH``."""
    found = shutil.which("gridloom", path=os.path.dirname(sys.executable)) or shutil.which("gridloom")
    if found is None:
        raise FileNotFoundError("the command gridloom is not in PATH: install it, or say Worker(command=...)")
    return found


def _listen(path: str) -> Tuple[socket.socket, str]:
    if hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= _PATH_MAX:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(path)
        address = path
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind(("127.0.0.1", 0))
        address = f"tcp:127.0.0.1:{sock.getsockname()[1]}"
    sock.listen(8)
    return sock, address
