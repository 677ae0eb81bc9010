"""A planner's HTTP API as far as the client asks it, with answers that a test lays ready."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Dict, List, Optional, Tuple, Type


def run(state: str, **more: Any) -> Dict[str, Any]:
    shards = {"planned": 4, "done": 4, "dead": 0, "outstanding": 0, "late": 0, "retried": 0, "taken_over": 0}
    grid = {"slices": 2, "shards": 4}
    said = {"run": "hello_r_1", "job": "hello", "queue": "default", "state": state, "grid": grid, "shards": shards}
    return {**said, "rows": 10, "counters": {"bytes": 3}, **more}


def problem(kind: str, status: int, **more: Any) -> Dict[str, Any]:
    return {"type": f"urn:gridloom:{kind}", "title": "t", "status": status, "detail": f"{kind} it is", **more}


class Asked:
    """A request as it came."""

    def __init__(self, method: str, path: str, headers: Dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body


class Api:
    """Answers each path with what was laid ready for it, the last of it for ever."""

    def __init__(self) -> None:
        self.asked: List[Asked] = []
        self._ready: Dict[str, List[Tuple[int, str, bytes]]] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                api.asked.append(Asked(self.command, self.path, headers, body))
                ready = api._ready.get(self.path) or [(404, "application/problem+json", b"")]
                status, kind, text = ready.pop(0) if len(ready) > 1 else ready[0]
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", text.decode())
                    text = b""
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def lay(self, path: str, *answers: Any, status: int = 200, kind: str = "") -> None:
        """What ``/api/v1`` + path is answered with, one after the other."""
        for answer in answers:
            code = answer.get("status", status) if isinstance(answer, dict) else status
            refused = code >= 400 and not kind
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            form = kind or ("application/problem+json" if refused else "application/json")
            self._ready.setdefault("/api/v1" + path, []).append((code, form, text))

    def __enter__(self) -> Api:
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
