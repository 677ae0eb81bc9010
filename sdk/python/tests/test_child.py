"""A child of a worker: real sockets and real processes, with a worker that the test plays. How it ends: test_ends.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from .fake import TOKEN, FakeWorker, eventually


def test_hello_says_what_it_can_and_slots_are_the_workers_word(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard): pass
@worker.pages("work")
def pages(probe): return []
@worker.handler("other")
async def other(shard): pass
"""
    with FakeWorker(script, tmp_path, slots=7) as child:
        hello = child.hello
        assert (hello["protocol"], hello["token"], hello["slots"]) == ([1, 1], TOKEN, 7)
        assert (sorted(hello["handlers"]), hello["probes"]) == (["other", "work"], ["work"])
        assert len(hello["sdk"]) <= 64
        assert child.drain() == 0


def test_tcp_does_as_well(tmp_path: Path) -> None:
    with FakeWorker('worker.handler("work")(lambda shard: shard.rows(2))', tmp_path, tcp=True) as child:
        (id,) = child.tile()
        assert child.answer(id) == ("done", {"id": id, "rows": 2})
        assert child.drain() == 0


@pytest.mark.parametrize("tcp", [False, True])
def test_time_limit_that_the_program_has_for_its_sockets_is_not_one_of_the_connection(tmp_path: Path, tcp: bool) -> None:
    script = """
import socket
socket.setdefaulttimeout(0.1)
@worker.handler("work")
def work(shard):
    wait_for("go")
"""
    with FakeWorker(script, tmp_path, tcp=tcp) as child:
        assert child.quiet(0.5)     # longer than the limit, with nothing to do
        (id,) = child.tile()
        assert child.quiet(0.5)     # and while a handler works
        child.allow("go")
        assert child.answer(id) == ("done", {"id": id})
        assert child.drain() == 0


def test_shard_is_told_all_that_there_is_to_know(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    assert (shard.run, shard.job, shard.handler) == ("sizes_s_7", "sizes", "work")
    assert (shard.slice, shard.slices, shard.page, shard.attempt) == (3, 16, 0, 1)
    assert (shard.fence, shard.key) == (1795968000000123, "4b0f3d5cf6c8e1a2-3-0")
    assert (shard.params, shard.settings) == ({"width": 200, "name": "é"}, {"level": 9})
    assert (shard.bounds, shard.offset, shard.limit) == ((-5, 9), 1000, None)
    assert shard.traceparent == "00-a-b-01" and 590 < shard.remaining <= 600
    assert shard.deadline.utcoffset().total_seconds() == 0
    shard.rows(); shard.rows(2); shard.count("bytes", 7); shard.count("bytes", -2); shard.result({"é": 1})
"""
    page = {"from": -5, "to": 9, "offset": 1000, "traceparent": "00-a-b-01", "later": True}
    with FakeWorker(script, tmp_path) as child:
        params = {"width": 200, "name": "é"}
        (id,) = child.tile(pages=[page], params=params, settings={"level": 9}, timeout_ms=600_000)
        assert child.answer(id) == ("done", {"id": id, "rows": 3, "counters": {"bytes": 5}, "result": '{"é": 1}'})


def test_tile_runs_in_its_order_and_is_answered_in_few_frames(tmp_path: Path) -> None:
    script = """
seen = []
@worker.handler("work")
def work(shard):
    seen.append(shard.page)
    shard.result(str(seen == list(range(shard.page + 1))))
"""
    with FakeWorker(script, tmp_path) as child:
        ids = child.tile(1000)
        answers = child.answers(ids)
        assert all(kind == "done" and said["result"] == "True" for kind, said in answers.values())
        assert len(child.frames) <= 50, f"{len(child.frames)} frames for a thousand shards"


def test_log_that_fails_keeps_no_shard_from_its_answer(tmp_path: Path) -> None:
    script = """
import logging
class Full(logging.Filter):
    def filter(self, record): raise OSError("no space left")
logging.getLogger("gridloom").addFilter(Full())
@worker.handler("work")
def work(shard):
    if shard.page == 0: raise ValueError("odd")
"""
    with FakeWorker(script, tmp_path) as child:
        ids = child.tile(2)
        answers = child.answers(ids)
        found = [(kind, said.get("error")) for kind, said in (answers[id] for id in ids)]
        assert found == [("fail", "ValueError: odd"), ("done", None)]


def test_what_a_handler_changes_in_its_params_is_its_own(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    shard.result(str(len(shard.params["list"])))
    shard.params["list"].append(1)
    shard.settings["list"].append(1)
    assert len(shard.settings["list"]) == 0
"""
    with FakeWorker(script, tmp_path) as child:
        ids = child.tile(2, params={"list": []}, settings={"list": []})
        assert [said.get("result") for _, said in child.answers(ids).values()] == ["0", "0"]


def test_outcome_is_not_kept_back_by_the_shard_behind_it(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    if shard.page == 1: wait_for("go")
"""
    with FakeWorker(script, tmp_path) as child:
        first, second = child.tile(2)
        assert child.answer(first)[0] == "done"
        child.allow("go")
        assert child.answer(second)[0] == "done"


def test_failures_say_what_follows_and_others_are_tried_again(tmp_path: Path) -> None:
    script = """
from datetime import timedelta
from gridloom import Hold, Permanent, Retry
@worker.handler("work")
def work(shard):
    if shard.page == 0: raise Retry("HTTP 503")
    if shard.page == 1: raise Retry("HTTP 429", after=timedelta(seconds=5))
    if shard.page == 2: raise Permanent("no such bucket")
    if shard.page == 3: raise Hold(2.5, "busy")
    if shard.page == 4:
        try: {}["x"]
        except KeyError as error: raise ValueError("no width") from error
    if shard.page == 5: sys.exit(3)
    if shard.page == 6: raise KeyboardInterrupt
    if shard.page == 7: raise Permanent("é" * 5000)
    if shard.page == 8: raise gridloom.Stopped("nobody said so")
    if shard.page == 9: raise Retry("half \\ud800 of a pair")
    if shard.page == 10: return Retry("meant to be raised")
    return shard
"""
    with FakeWorker(script, tmp_path) as child:
        ids = child.tile(12)
        said = [answer for _, answer in sorted(child.answers(ids).items())]
        kinds = [(kind, fail.get("kind"), fail.get("after_ms")) for kind, fail in said]
        assert kinds == [
            ("fail", "retry", None),
            ("fail", "retry", 5000),
            ("fail", "permanent", None),
            ("fail", "hold", 2500),
            *[("fail", "retry", None)] * 3,
            ("fail", "permanent", None),
            *[("fail", "retry", None)] * 3,
            ("done", None, None),
        ]
        errors = [fail.get("error") for _, fail in said]
        assert errors[:4] == ["HTTP 503", "HTTP 429", "no such bucket", "busy"]
        assert errors[4] == "ValueError: no width: KeyError: 'x'"
        assert errors[5] == "SystemExit: 3" and errors[6] == "KeyboardInterrupt"
        assert len(str(errors[7]).encode()) == 1024
        # What nobody expected has its traceback where the worker reads it; what was said on purpose has none.
        assert child.drain() == 0
        assert 'raise ValueError("no width")' in child.said() and "no such bucket" not in child.said()


def test_same_in_the_event_loop(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
async def work(shard):
    await asyncio.sleep(0)
    if shard.page == 0: raise ValueError("no width")
    if shard.page == 1: sys.exit(3)
    if shard.page == 2: raise asyncio.CancelledError
    if shard.page == 3: raise gridloom.Hold(1, "busy")
    if shard.page == 4: raise KeyboardInterrupt
    if shard.page == 5: return gridloom.Retry("meant to be raised")
    shard.rows(1)
"""
    with FakeWorker(script, tmp_path) as child:
        ids = child.tile(7)
        said = [answer for _, answer in sorted(child.answers(ids).items())]
        assert [kind for kind, _ in said] == ["fail"] * 6 + ["done"]
        assert [fail.get("kind") for _, fail in said[:6]] == ["retry", "retry", "retry", "hold", "retry", "retry"]
        assert child.drain() == 0


def test_what_the_ledger_has_no_room_for_fails_its_shard_for_good_and_nothing_else(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    if shard.page == 0: shard.result("x" * (64 * 1024 * 1024))
    if shard.page == 1: shard.result("é" * 513)
    if shard.page == 2:
        for n in range(16): shard.count(f"c{n}")
    if shard.page == 3: shard.count("n" * 49)
    if shard.page == 4: shard.count("big", 2**63)
    if shard.page == 5: shard.rows(2**63)
    if shard.page == 6: shard.count("rows", -1)
    if shard.page == 7: shard.result("é" * 512)
"""
    with FakeWorker(script, tmp_path) as child:
        ids = child.tile(8)
        said = [answer for _, answer in sorted(child.answers(ids).items())]
        assert [fail.get("kind") for _, fail in said] == ["permanent"] * 7 + [None], said
        assert "67108864 bytes" in said[0][1]["error"]


def test_results_that_fill_frames_come_in_several(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard): shard.result("\\x01" * 1024)
"""
    with FakeWorker(script, tmp_path) as child:
        ids = child.tile(1000)
        assert len(child.answers(ids)) == 1000
        assert len(child.frames) >= 2


def test_threads_run_as_many_tiles_as_there_are_slots(tmp_path: Path) -> None:
    script = """
meet = threading.Barrier(3, timeout=20)
@worker.handler("work")
def work(shard): meet.wait()
"""
    with FakeWorker(script, tmp_path, slots=3) as child:
        for _ in range(2):
            ids = [*child.tile(), *child.tile(), *child.tile()]
            assert {kind for kind, _ in child.answers(ids).values()} == {"done"}


def test_loop_runs_as_many_tiles_as_there_are_slots(tmp_path: Path) -> None:
    script = """
here, everybody = 0, None
@worker.handler("work")
async def work(shard):
    global here, everybody
    everybody = everybody or asyncio.Event()    # of this loop: until Python 3.9 it belongs to the one where it is made
    here += 1
    if here == 50: everybody.set()
    await asyncio.wait_for(everybody.wait(), 20)
"""
    with FakeWorker(script, tmp_path, slots=50) as child:
        ids = [id for _ in range(50) for id in child.tile()]
        assert {kind for kind, _ in child.answers(ids).values()} == {"done"}


def test_what_a_later_version_says_is_ignored(tmp_path: Path) -> None:
    with FakeWorker('worker.handler("work")(lambda shard: None)', tmp_path) as child:
        child.wire.send({"type": "applause", "loud": True})
        (id,) = child.tile(colour="red")
        assert child.answer(id)[0] == "done"


def test_frames_that_arrive_byte_by_byte_are_frames(tmp_path: Path) -> None:
    with FakeWorker('worker.handler("work")(lambda shard: shard.rows(len(shard.params["x"])))', tmp_path) as child:
        sent = child.wire.sock
        child.wire.sock = Pieces(sent)  # type: ignore[assignment]
        ids = child.tile(params={"x": "é" * 300})
        child.wire.sock = sent
        assert child.answer(ids[0])[1]["rows"] == 300


class Pieces:
    """Sends a few bytes at a time."""

    def __init__(self, sock: object) -> None:
        self._sock = sock

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), 3):
            self._sock.send(data[at : at + 3])  # type: ignore[attr-defined]


def test_output_is_the_users_and_comes_line_by_line(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    print('{"type": "bye"}')
    os.write(1, b"\\0\\0\\0\\x05")
    wait_for("go")
"""
    with FakeWorker(script, tmp_path) as child:
        (id,) = child.tile()
        eventually("a line", lambda: '{"type": "bye"}\n' in child.said())
        child.allow("go")
        assert child.answer(id)[0] == "done"


def test_rows_so_far_are_told_of_what_takes_long(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    shard.rows(5)
    wait_for("go")
"""
    with FakeWorker(script, tmp_path) as child:
        (id,) = child.tile()
        assert child.wire.receive() == {"type": "progress", "shards": [{"id": id, "rows": 5}]}
        child.allow("go")
        assert child.answer(id)[1]["rows"] == 5


def test_handler_that_is_not_there_or_not_awaited_fails_its_shards(tmp_path: Path) -> None:
    script = """
async def work(shard): shard.rows(1)
worker.handler("work")(lambda shard: work(shard))
"""
    with FakeWorker(script, tmp_path) as child:
        ids = child.tile(2, handler="nobody") + child.tile()
        found = child.answers(ids)
        assert [found[id][1]["kind"] for id in ids] == ["retry", "retry", "permanent"]
        assert "async def" in found[ids[2]][1]["error"]


def test_probes_are_answered_by_lists_and_generators_of_both_kinds(tmp_path: Path) -> None:
    script = """
@worker.handler("list")
@worker.handler("generator")
@worker.handler("coroutine")
@worker.handler("async-generator")
@worker.handler("fails")
def work(shard): pass
@worker.pages("list")
def pages(probe): return [(1, 9), (10, 12)]
@worker.pages("generator")
def pages(probe):
    n = (probe.after or 0) + 1
    while True:
        yield n, n
        n += 1
@worker.pages("coroutine")
async def pages(probe): return [["a", "b"]]
@worker.pages("async-generator")
async def pages(probe):
    await asyncio.sleep(0)
    if probe.after is None: yield "c", "d"
@worker.pages("fails")
def pages(probe): return [(1, 9), (9, 12)]
"""
    with FakeWorker(script, tmp_path) as child:
        assert child.answer(child.probe("list")) == ("pages", {"type": "pages", "id": 1, "pages": [[1, 9], [10, 12]]})
        kind, first = child.answer(child.probe("generator"))
        assert (len(first["pages"]), first["cursor"]) == (4096, 4096)
        kind, second = child.answer(child.probe("generator", after=4096, room=100))
        assert (second["pages"][0], len(second["pages"]), second["cursor"]) == ([4097, 4097], 5, 4101)
        assert child.answer(child.probe("coroutine"))[1]["pages"] == [["a", "b"]]
        assert child.answer(child.probe("async-generator", after="d"))[1]["pages"] == []
        kind, said = child.answer(child.probe("fails"))
        assert (kind, said["kind"]) == ("fail", "permanent") and "done twice" in said["error"]
        assert child.drain() == 0


def test_threads_of_a_handler_may_count_for_it(tmp_path: Path) -> None:
    script = """
sys.setswitchinterval(1e-6)
@worker.handler("work")
def work(shard):
    def count():
        for _ in range(5000):
            shard.rows(); shard.count("n")
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""
    with FakeWorker(script, tmp_path) as child:
        (id,) = child.tile()
        assert child.answer(id) == ("done", {"id": id, "rows": 20000, "counters": {"n": 20000}})
