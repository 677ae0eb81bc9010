"""Starts runs and looks at them, over a planner's HTTP API, or submits them through NATS.

Nothing but the standard library is needed; ``nats=`` asks for the package ``nats-py`` beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import random
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Tuple, Union

__all__ = ["ApiError", "Client", "Receipt", "Run", "RunFailed", "Unreachable"]

#: Where a planner answers when nobody says otherwise.
API_DEFAULT = "http://127.0.0.1:7070"
#: Problems after which the same request may be sent again: it was not done, or doing it twice does no harm.
_PASSING = ("unavailable", "timed-out", "unknown")
#: Most bytes of a submission's parameters, as JSON (docs/JOBS.md).
_PARAMS_MAX = 64 * 1024
#: Pauses of :meth:`Client.wait` between two looks, in seconds.
_LOOK_FIRST, _LOOK_LAST = 0.1, 2.0


class Unreachable(Exception):
    """Nobody answered in time, or not as a planner does."""


class ApiError(Exception):
    """The request was understood and refused. Decide by ``type``, read ``detail`` (docs/API.md has all types)."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        said = str(problem.get("type", "about:blank"))
        self.type = said[len("urn:gridloom:") :] if said.startswith("urn:gridloom:") else said
        self.status = status
        self.title = str(problem.get("title") or "")
        self.detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
        self.faults: List[str] = [str(fault) for fault in problem.get("faults") or ()]
        super().__init__("; ".join([self.detail, *self.faults]))


class RunFailed(Exception):
    """The run that was waited for ended otherwise than ``succeeded``; ``run`` has it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        super().__init__(f"run {run.id} {run.state}: {run.error or 'no error is on record'}")


@dataclass(frozen=True)
class Receipt:
    """A submission that is stored: it will be a run, whatever crashes."""

    run: str
    job: str
    #: The request's id: the same one never makes a second run.
    id: str
    #: ``opened``, ``exists``, ``purged`` or ``queued``; ``None``: no planner has said so yet.
    answer: Optional[str]
    #: All that was answered.
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """How a run stands."""

    id: str
    job: str
    #: ``running``, ``succeeded``, ``failed`` or ``cancelled``.
    state: str
    rows: int
    counters: Mapping[str, int]
    #: ``planned``, ``done``, ``dead``, ``outstanding`` and others, in shards.
    shards: Mapping[str, int]
    error: Optional[str]
    #: All that was answered: docs/openapi.json has its form.
    raw: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether nothing follows by itself."""
        return self.state != "running"

    @property
    def succeeded(self) -> bool:
        """Whether every shard is committed."""
        return self.state == "succeeded"

    @staticmethod
    def of(raw: Mapping[str, Any]) -> Run:
        """A run as the API tells it."""
        return Run(
            id=raw["run"],
            job=raw["job"],
            state=raw["state"],
            rows=raw["rows"],
            counters=raw["counters"],
            shards=raw["shards"],
            error=raw.get("error"),
            raw=raw,
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An API never redirects; whoever does gets no token of ours."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Client:
    """Speaks with a planner. May be used by several threads.

    ``api``: its address, as ``gridloom dev`` prints it, or the variable ``GRIDLOOM_API``. ``token``: one of
    ``gridloom token``, or the variable ``GRIDLOOM_TOKEN``. ``nats``: addresses of the broker, through which submissions go
    then; ``api`` is still asked by :meth:`show` and :meth:`wait`. ``answers``: below which subject planners answer these,
    where the broker's user hears no other: ``gridloom.answer.submitter`` of deploy/nats. ``timeout``: seconds for one
    request, with its repetitions.
    """

    def __init__(
        self,
        api: Optional[str] = None,
        *,
        token: Optional[str] = None,
        nats: Optional[str] = None,
        answers: Optional[str] = None,
        namespace: str = "gridloom",
        timeout: float = 30.0,
        tls: Optional[ssl.SSLContext] = None,
        nats_options: Optional[Mapping[str, Any]] = None,
    ) -> None:
        said = api or os.environ.get("GRIDLOOM_API") or API_DEFAULT
        address = urllib.parse.urlsplit(said)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise ValueError(f"{said!r} is no address of an API: write it as {API_DEFAULT}")
        if address.username is not None or address.query or address.fragment:
            raise ValueError("the address of an API holds neither a password nor a query: say token=... beside it")
        path = address.path.rstrip("/")
        self._base = f"{address.scheme}://{address.netloc}{path if path.endswith('/api/v1') else path + '/api/v1'}"
        # In a child of a worker the variable holds what that one knows it by.
        is_child = "GRIDLOOM_SOCKET" in os.environ
        self._token = token or (None if is_child else os.environ.get("GRIDLOOM_TOKEN"))
        self._nats, self._nats_options, self._answers = nats, dict(nats_options or {}), answers
        self._namespace, self._timeout = namespace, timeout
        handlers: List[urllib.request.BaseHandler] = [_NoRedirect()]
        if tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=tls))
        self._opener = urllib.request.build_opener(*handlers)

    def submit(
        self,
        job: str,
        *,
        id: Optional[str] = None,
        params: Optional[Mapping[str, Any]] = None,
        grid: Optional[Mapping[str, Any]] = None,
        overlap: Optional[str] = None,
        traceparent: Optional[str] = None,
    ) -> Receipt:
        """Starts a run of ``job``. The same ``id`` never makes a second one; left out, one is made by chance, so that
        a request that is repeated after a lost answer starts nothing twice. Where no planner answers in time what is stored
        is a receipt without ``answer``: the run is opened, or refused, once one is there."""
        said = {"params": params, "grid": grid, "overlap": overlap}
        body = {key: value for key, value in said.items() if value is not None}
        request = str(uuid.uuid4()) if id is None else id
        if self._nats is not None:
            raw = self._submit_by_nats(job, {"id": request, **body}, traceparent)
        else:
            headers = {}
            if _fits_a_header(request):
                headers["Idempotency-Key"] = request
            else:
                body["id"] = request
            if traceparent is not None and _fits_a_header(traceparent):
                headers["traceparent"] = traceparent
            raw = self.call("POST", f"/jobs/{_part(job)}/runs", body, headers)
        return Receipt(run=raw["run"], job=raw["job"], id=raw.get("id", request), answer=raw.get("answer"), raw=raw)

    def show(self, run: str) -> Run:
        """How a run stands."""
        return Run.of(self.call("GET", f"/runs/{_part(run)}"))

    def wait(
        self,
        run: Union[str, Receipt],
        *,
        timeout: Optional[float] = None,
        check: bool = True,
        progress: Optional[Callable[[Run], None]] = None,
    ) -> Run:
        """Waits until the run has ended, and says how. With ``check`` a run that did not succeed is raised as
        :class:`RunFailed`; ``TimeoutError`` when it has not ended after ``timeout`` seconds. ``progress`` is told each look.

        A run that waits until others of its job are over is waited for too.
        """
        name = run if isinstance(run, str) else run.run
        # What is stored and was answered by nobody will be opened once a planner leads.
        patient = not isinstance(run, str) and run.answer is None
        end = None if timeout is None else time.monotonic() + timeout
        pause = _LOOK_FIRST
        while True:
            found = self._look(name, patient)
            if found is not None:
                if progress is not None:
                    progress(found)
                if found.ended:
                    if check and not found.succeeded:
                        raise RunFailed(found)
                    return found
            left = pause if end is None else min(pause, end - time.monotonic())
            if left <= 0:
                stands = "is not opened yet" if found is None else f"is {found.state}: {dict(found.shards)}"
                raise TimeoutError(f"run {name} {stands}")
            time.sleep(left)
            pause = min(pause * 1.5, _LOOK_LAST)

    def _look(self, run: str, patient: bool) -> Optional[Run]:
        """``None``: it waits to be opened."""
        try:
            return self.show(run)
        except ApiError as error:
            if error.type != "not-found":
                raise
            if patient or self._waits(run):
                return None
            # It may have been opened between the two questions.
            return self.show(run)

    def _waits(self, run: str) -> bool:
        job = urllib.parse.quote(run.split("_")[0], safe="")
        items = self.call("GET", f"/runs/waiting?job={job}")["items"]
        return any(item.get("run") == run for item in items)

    def call(
        self,
        method: str,
        path: str,
        body: Optional[Mapping[str, Any]] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Dict[str, Any]:
        """Any request of the API (docs/API.md): ``client.call("POST", "/runs/RUN/cancel")``. Passing troubles are
        tried again until the client's ``timeout``; what changes something should say ``Idempotency-Key`` or be harmless twice."""
        end = time.monotonic() + self._timeout
        pause = 0.1
        while True:
            try:
                return self._once(method, path, body, headers or {}, max(end - time.monotonic(), 0.05))
            except ApiError as error:
                if error.type not in _PASSING or time.monotonic() + pause >= end:
                    raise
            except Unreachable:
                if time.monotonic() + pause >= end:
                    raise
            # By chance, so that many that were cut off at once do not come back at once.
            time.sleep(pause * (0.5 + random.random() / 2))
            pause = min(pause * 2, 2.0)

    def _once(
        self, method: str, path: str, body: Optional[Mapping[str, Any]], headers: Mapping[str, str], seconds: float
    ) -> Dict[str, Any]:
        request = urllib.request.Request(self._base + path, method=method, headers=dict(headers))
        request.add_header("Accept", "application/json")
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.data = json.dumps(body, allow_nan=False).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=seconds) as answer:
                return _read(answer.read(), answer.status, self._base)
        except urllib.error.HTTPError as error:
            with error:
                _refused(error, self._base)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise Unreachable(f"no answer of {self._base}: {reason}") from error

    def _submit_by_nats(self, job: str, body: Mapping[str, Any], traceparent: Optional[str]) -> Dict[str, Any]:
        if not re.fullmatch("[a-z0-9-]{1,48}", job):
            # In a subject other signs mean something.
            raise ValueError(f"job {job!r}: a name has 1 to 48 of a-z, 0-9 and -, as a job file says it")
        _bounded(body.get("params"))
        submitting = _submit_by_nats(
            str(self._nats), self._nats_options, self._answers, (self._namespace, job), body, traceparent, self._timeout
        )
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(submitting)
        # Called by an async handler: its loop runs here, and a thread has but one.
        with ThreadPoolExecutor(1) as beside:
            return beside.submit(asyncio.run, submitting).result()


async def _submit_by_nats(
    servers: str,
    options: Mapping[str, Any],
    answers_at: Optional[str],
    place: Tuple[str, str],
    body: Mapping[str, Any],
    traceparent: Optional[str],
    timeout: float,
) -> Dict[str, Any]:
    """Publishes a submission, and waits for what the planner makes of it (docs/PROTOCOL.md §10)."""
    try:
        import nats
        import nats.errors
    except ImportError as error:
        raise ImportError("submissions through NATS need the package nats-py: pip install nats-py") from error
    namespace, job = place
    subject = f"{namespace}.submit.{job}"
    addresses = [server.strip() for server in servers.split(",")]
    troubles: List[BaseException] = []

    async def heard(error: BaseException) -> None:
        troubles.append(error)

    said = {"servers": addresses, "connect_timeout": timeout, "allow_reconnect": False, "error_cb": heard, **options}
    try:
        connection = await asyncio.wait_for(nats.connect(**said), timeout)
    except (OSError, nats.errors.Error, asyncio.TimeoutError) as error:
        reason = troubles[-1] if troubles else error
        raise Unreachable(f"no broker to submit to: {reason or type(reason).__name__}") from error
    try:
        inbox = connection.new_inbox() if answers_at is None else f"{answers_at}.{uuid.uuid4().hex}"
        answers = await connection.subscribe(inbox)
        headers = {"Gridloom-Reply": inbox}
        if traceparent is not None and _fits_a_header(traceparent):
            headers["traceparent"] = traceparent
        payload = json.dumps(body, allow_nan=False).encode()
        # The acknowledgement says that the broker stored it: from then on it is not lost.
        try:
            stored = await connection.jetstream().publish(subject, payload, timeout=timeout, headers=headers)
        except (nats.errors.Error, asyncio.TimeoutError) as error:
            told = f"nobody stores {subject}: {error or type(error).__name__}"
            raise Unreachable(f"{told}. Is there a planner's namespace at this broker?") from error
        answer: Dict[str, Any] = {"run": _run_of(job, body["id"]), "job": job, "sequence": stored.seq}
        try:
            answer = json.loads((await answers.next_msg(timeout=timeout)).data)
        except (nats.errors.Error, asyncio.TimeoutError):
            # It is stored, and will be a run.
            pass
    finally:
        await connection.close()
    if answer.get("answer") == "refused":
        raise ApiError({"type": "urn:gridloom:refused", "detail": answer.get("reason")}, 422)
    return {**answer, "id": body["id"]}


def _bounded(params: Optional[Mapping[str, Any]]) -> None:
    """Refuses parameters of a submission that a planner would refuse, as it would. A broker says nothing of the kind of what is
    too large for it, and what it stores without a planner is refused when nobody hears it any more."""
    size = len(json.dumps(params, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    if size > _PARAMS_MAX:
        fault = f"params: must be at most {_PARAMS_MAX} bytes as JSON, found {size}"
        fault += ": keep the data where the workers can read it and say here where that is"
        raise ApiError({"type": "urn:gridloom:refused", "title": "That cannot be done", "detail": fault}, 422)


def _run_of(job: str, request: str) -> str:
    """The run that this request of ``job`` makes, whoever opens it (docs/PROTOCOL.md)."""
    return f"{job}_r_{hashlib.sha256(request.encode()).hexdigest()[:32]}"


def _fits_a_header(text: str) -> bool:
    """Whether a header says exactly this: visible signs of ASCII, with blanks between them alone."""
    return text.isascii() and text.isprintable() and text == text.strip() != ""


def _part(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _read(body: bytes, status: int, base: str) -> Dict[str, Any]:
    if not body:
        return {}
    try:
        answer = json.loads(body)
    except ValueError:
        raise Unreachable(f"{base} answers {status} with something else than JSON: is it a planner?") from None
    return answer if isinstance(answer, dict) else {"items": answer}


def _refused(error: urllib.error.HTTPError, base: str) -> NoReturn:
    problem = error.headers.get_content_type() == "application/problem+json"
    if not problem:
        # A proxy's own answers: passing ones are tried again, the others are told as they are.
        if error.code in (502, 503, 504):
            raise Unreachable(f"{base} answers {error.code}: {error.reason}")
        raise ApiError({"detail": f"{base} answers {error.code} and no problem: is it a planner?"}, error.code)
    raise ApiError(_read(error.read(), error.code, base), error.code)
