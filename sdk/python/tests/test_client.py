"""The client, against an API that answers as docs/API.md says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import sys
from typing import Iterator, List

import pytest

from gridloom import ApiError, Client, RunFailed, Unreachable
from gridloom.client import Run

from .api import Api, problem, run
from .broker import Broker


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    for name in ("GRIDLOOM_API", "GRIDLOOM_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Api() as api:
        yield api


def test_submission_carries_its_id_and_what_is_put_over_the_job(api: Api) -> None:
    receipt = {"run": "hello_r_1", "job": "hello", "id": "monday", "sequence": 7, "answer": "opened"}
    api.lay("/jobs/hello/runs", receipt, status=202)
    client = Client(api.address, token="glt_x")
    found = client.submit("hello", id="monday", params={"day": "é"}, overlap="skip", traceparent="00-a-b-01")
    assert (found.run, found.id, found.answer) == ("hello_r_1", "monday", "opened")
    (asked,) = api.asked
    assert asked.method == "POST"
    assert json.loads(asked.body) == {"params": {"day": "é"}, "overlap": "skip"}
    assert asked.headers["idempotency-key"] == "monday"
    assert asked.headers["authorization"] == "Bearer glt_x"
    assert asked.headers["traceparent"] == "00-a-b-01"


@pytest.mark.parametrize("id", ["Zürich", "订单 1", "two\nlines", " at the edge", ""])
def test_id_that_no_header_may_have_is_said_in_the_body(api: Api, id: str) -> None:
    api.lay("/jobs/hello/runs", {"run": "hello_r_1", "job": "hello", "id": id})
    assert Client(api.address).submit("hello", id=id, traceparent="a\nb").id == id
    (asked,) = api.asked
    assert json.loads(asked.body) == {"id": id}
    assert "idempotency-key" not in asked.headers and "traceparent" not in asked.headers


def test_request_that_is_repeated_has_the_same_id_though_none_was_said(api: Api) -> None:
    receipt = {"run": "hello_r_1", "job": "hello", "id": "x", "sequence": 7}
    api.lay("/jobs/hello/runs", problem("unknown", 503), b"", receipt, status=503)
    api._ready["/api/v1/jobs/hello/runs"][1] = (502, "text/html", b"<p>bad gateway")
    api._ready["/api/v1/jobs/hello/runs"][2] = (202, "application/json", json.dumps(receipt).encode())
    assert Client(api.address).submit("hello").answer is None
    ids = {asked.headers["idempotency-key"] for asked in api.asked}
    assert len(api.asked) == 3 and len(ids) == 1


def test_client_in_a_child_of_a_worker_does_not_tell_the_api_by_what_that_one_knows_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDLOOM_SOCKET", "/run/worker.sock")
    monkeypatch.setenv("GRIDLOOM_TOKEN", "0123456789abcdef")
    api.lay("/runs/hello_r_1", run("running"), run("running"))
    Client(api.address).show("hello_r_1")
    Client(api.address, token="glt_x").show("hello_r_1")
    assert [asked.headers.get("authorization") for asked in api.asked] == [None, "Bearer glt_x"]


def test_refusal_is_told_with_its_faults_and_not_repeated(api: Api) -> None:
    api.lay("/jobs/hello/runs", problem("refused", 422, faults=["grid.slices: 0"]))
    with pytest.raises(ApiError) as refused:
        Client(api.address).submit("hello", grid={"slices": 0})
    assert (refused.value.type, refused.value.status, refused.value.faults) == ("refused", 422, ["grid.slices: 0"])
    assert "refused it is" in str(refused.value) and len(api.asked) == 1


def test_wait_ends_with_the_run_and_tells_each_look(api: Api) -> None:
    api.lay("/runs/hello_r_1", run("running"), run("running"), run("succeeded"))
    told: List[Run] = []
    found = Client(api.address).wait("hello_r_1", timeout=20, progress=told.append)
    assert (found.succeeded, found.rows, found.counters) == (True, 10, {"bytes": 3})
    assert [look.state for look in told] == ["running", "running", "succeeded"]


def test_run_that_failed_is_raised_unless_nobody_checks(api: Api) -> None:
    api.lay("/runs/hello_r_1", run("failed", error="3 shards are dead"))
    with pytest.raises(RunFailed, match="3 shards are dead") as failed:
        Client(api.address).wait("hello_r_1")
    assert failed.value.run.state == "failed"
    assert Client(api.address).wait("hello_r_1", check=False).error == "3 shards are dead"


def test_wait_gives_up_at_its_time_limit(api: Api) -> None:
    api.lay("/runs/hello_r_1", run("running"))
    with pytest.raises(TimeoutError, match="running"):
        Client(api.address).wait("hello_r_1", timeout=0.2)


def test_run_that_waits_behind_another_is_waited_for_and_one_that_nobody_knows_is_not(api: Api) -> None:
    api.lay("/runs/hello_r_1", problem("not-found", 404), run("succeeded"))
    api.lay("/runs/waiting?job=hello", {"items": [{"run": "hello_r_1"}]})
    assert Client(api.address).wait("hello_r_1", timeout=20).succeeded
    api.lay("/runs/hello_r_2", problem("not-found", 404))
    with pytest.raises(ApiError) as lost:
        Client(api.address).wait("hello_r_2", timeout=20)
    assert lost.value.type == "not-found"


def test_receipt_that_nobody_answered_yet_is_waited_for(api: Api) -> None:
    api.lay("/jobs/hello/runs", {"run": "hello_r_1", "job": "hello", "id": "x", "sequence": 7, "answer": None})
    api.lay("/runs/hello_r_1", problem("not-found", 404), run("succeeded"))
    client = Client(api.address)
    assert client.wait(client.submit("hello"), timeout=20).succeeded


def test_token_follows_no_redirect(api: Api) -> None:
    with Api() as other:
        api.lay("/runs/hello_r_1", (other.address + "/api/v1/runs/hello_r_1").encode(), status=302)
        with pytest.raises(ApiError):
            Client(api.address, token="glt_x").show("hello_r_1")
        assert other.asked == []


def test_nobody_there_is_told_with_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable, match=address):
        Client(address, timeout=0.3).show("hello_r_1")


@pytest.mark.parametrize("address", ["127.0.0.1:7070", "nats://127.0.0.1", "http://", "http://u:p@h", "http://h?x=1"])
def test_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError):
        Client(address)


def test_base_path_and_environment_are_heeded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDLOOM_API", api.address + "/gridloom/")
    monkeypatch.setenv("GRIDLOOM_TOKEN", "glt_y")
    with pytest.raises(ApiError):
        Client().show("a/b")
    (asked,) = api.asked
    assert asked.path == "/gridloom/api/v1/runs/a%2Fb" and asked.headers["authorization"] == "Bearer glt_y"


def test_answer_of_something_else_than_a_planner_is_told(api: Api) -> None:
    api.lay("/runs/hello_r_1", b"<p>hello", kind="text/html")
    with pytest.raises(Unreachable, match="is it a planner"):
        Client(api.address, timeout=0.2).show("hello_r_1")


def test_submission_through_nats_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(ImportError, match="nats-py"):
        Client(nats="nats://127.0.0.1:4222").submit("hello")


def test_submission_through_nats_is_stored_and_answered() -> None:
    pytest.importorskip("nats")
    with Broker({"answer": "opened", "run": "hello_r_1", "job": "hello", "reason": None, "sequence": 7}) as broker:
        client = Client(nats=broker.address, namespace="test")
        found = client.submit("hello", id="monday", params={"day": "é"}, traceparent="00-a-b-01")
    assert (found.run, found.id, found.answer) == ("hello_r_1", "monday", "opened")
    assert (broker.subject, broker.body) == ("test.submit.hello", {"id": "monday", "params": {"day": "é"}})
    assert broker.headers["traceparent"] == "00-a-b-01" and broker.headers["Gridloom-Reply"].startswith("_INBOX.")


def test_submission_through_nats_from_where_a_loop_runs() -> None:
    pytest.importorskip("nats")

    async def handler(client: Client) -> str:
        return client.submit("hello").run

    with Broker({"answer": "opened", "run": "hello_r_1", "job": "hello", "reason": None, "sequence": 7}) as broker:
        assert asyncio.run(handler(Client(nats=broker.address))) == "hello_r_1"


@pytest.mark.parametrize("job", ["", "a b", "a.b", "*", "a\r\nPUB x 0\r\n"])
def test_job_that_no_subject_can_name_is_refused_at_once(job: str) -> None:
    with pytest.raises(ValueError, match="a-z"):
        Client(nats="nats://127.0.0.1:4222").submit(job)


@pytest.mark.parametrize("text", ["x" * 65_529, "é" * 32_765, "x" * 3_000_000])
def test_parameters_that_no_run_may_have_are_refused_through_nats_as_over_http(text: str) -> None:
    # Nobody is there to be asked.
    with pytest.raises(ApiError, match="params: must be at most 65536 bytes") as told:
        Client(nats="nats://127.0.0.1:1").submit("hello", params={"a": text})
    assert (told.value.type, told.value.status) == ("refused", 422)


def test_refusal_through_nats_is_one_and_what_nobody_answers_is_a_receipt_of_its_run(api: Api) -> None:
    pytest.importorskip("nats")
    with Broker({"answer": "refused", "run": "hello_r_1", "job": "hello", "reason": "no job hello"}) as broker:
        with pytest.raises(ApiError, match="no job hello"):
            Client(nats=broker.address).submit("hello")
    with Broker(None) as broker:
        client = Client(api.address, nats=broker.address, timeout=1)
        found = client.submit("hello", id="monday")
    # Of this request and no other, whoever opens it.
    monday = "hello_r_" + hashlib.sha256(b"monday").hexdigest()[:32]
    assert (found.run, found.id, found.answer) == (monday, "monday", None)
    api.lay(f"/runs/{monday}", problem("not-found", 404), run("succeeded"))
    assert client.wait(found, timeout=20).succeeded


def test_answer_through_nats_comes_to_where_the_user_may_hear_it() -> None:
    pytest.importorskip("nats")
    with Broker({"answer": "opened", "run": "hello_r_1", "job": "hello", "reason": None, "sequence": 7}) as broker:
        client = Client(nats=broker.address, answers="gridloom.answer.submitter")
        assert client.submit("hello").answer == "opened"
    assert broker.headers["Gridloom-Reply"].startswith("gridloom.answer.submitter.")


def test_broker_that_is_not_there_is_told() -> None:
    pytest.importorskip("nats")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="no broker"):
        Client(nats=f"nats://127.0.0.1:{port}", timeout=1).submit("hello")
