"""How shards and children end: told to stop, drained, left by their worker, by signals, with forks and pools about."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from .fake import SOON, FakeWorker


def test_stopped_shard_hears_it_at_its_next_check(tmp_path: Path) -> None:
    # The handler keeps the interpreter busy all the time: `stop` has to get through.
    script = """
@worker.handler("work")
def work(shard):
    open(f"begun-{shard.id}", "w").close()
    while True:
        try:
            shard.check()
            sum(range(1000))
        except Exception: pass   # must not swallow it
"""
    with FakeWorker(script, tmp_path, slots=2) as child:
        (first, unbegun), (other,) = child.tile(2), child.tile()
        child.is_there(f"begun-{first}")
        child.is_there(f"begun-{other}")
        child.stop([first, unbegun])
        assert {kind for kind, _ in child.answers([first, unbegun]).values()} == {"stopped"}
        assert not (tmp_path / f"begun-{unbegun}").exists()
        child.stop([other], "cancelled")
        assert child.answer(other)[0] == "stopped"
        assert child.drain() == 0


def test_stopped_task_is_cancelled_and_those_beside_it_are_not(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
async def work(shard):
    open(f"begun-{shard.id}", "w").close()
    try:
        await asyncio.sleep(3600 if shard.page == 0 else 0)
    except asyncio.CancelledError:
        assert shard.stopped
        open("cancelled", "a").write("x")
        raise
"""
    with FakeWorker(script, tmp_path, slots=2) as child:
        first, behind = child.tile(2)
        (other,) = child.tile()
        child.is_there(f"begun-{first}")
        child.is_there(f"begun-{other}")
        child.stop([first])
        found = child.answers([first, behind])
        assert (found[first][0], found[behind][0]) == ("stopped", "done")
        child.stop([other], "time")
        assert child.answer(other)[0] == "stopped"
        assert (tmp_path / "cancelled").read_text() == "xx"


def test_shards_that_have_not_begun_are_given_back_at_once_and_the_others_go_on(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    open(f"begun-{shard.page}", "w").close()
    if shard.page == 0: wait_for("go")
"""
    with FakeWorker(script, tmp_path) as child:
        first, second, third = child.tile(3)
        child.is_there("begun-0")
        child.stop([second])
        assert child.answer(second)[0] == "stopped"
        child.allow("go")
        assert {kind for kind, _ in child.answers([first, third]).values()} == {"done"}
        assert not (tmp_path / "begun-1").exists()


def test_stop_that_comes_late_or_for_nobody_changes_nothing(tmp_path: Path) -> None:
    with FakeWorker('worker.handler("work")(lambda shard: None)', tmp_path) as child:
        (id,) = child.tile()
        child.answer(id)
        child.stop([id, 12345])
        (id,) = child.tile()
        assert child.answer(id)[0] == "done"
        assert child.drain() == 0


def test_error_after_the_time_is_over_is_told(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    open("begun", "w").close()
    while not shard.stopped: time.sleep(0.005)
    raise TimeoutError("the bucket did not answer")
"""
    with FakeWorker(script, tmp_path) as child:
        (id,) = child.tile(timeout_ms=100)
        child.is_there("begun")
        child.stop([id], "time")
        kind, said = child.answer(id)
        assert (kind, said["error"]) == ("fail", "TimeoutError: the bucket did not answer")


def test_drain_waits_for_what_runs(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    open("begun", "w").close()
    wait_for("go")
@worker.handler("later")
async def later(shard):
    while not os.path.exists("go"): await asyncio.sleep(0.005)
"""
    with FakeWorker(script, tmp_path, slots=2) as child:
        ids = child.tile(2) + child.tile(handler="later")
        child.is_there("begun")
        child.wire.send({"type": "drain"})
        child.allow("go")
        assert {kind for kind, _ in child.answers(ids).values()} == {"done"}
        assert child.wire.receive() is None
        assert child.process.wait(SOON) == 0


def test_connection_that_ends_without_drain_ends_the_process_at_once(tmp_path: Path) -> None:
    script = """
import atexit
atexit.register(lambda: open("late", "w").close())
@worker.handler("sleeps")
def sleeps(shard):
    open("sleeps", "w").close()
    time.sleep(3600)
@worker.handler("spins")
def spins(shard):
    open("spins", "w").close()
    while True: pass
"""
    with FakeWorker(script, tmp_path, slots=2) as child:
        child.tile(handler="sleeps")
        child.tile(handler="spins")
        child.is_there("sleeps")
        child.is_there("spins")
        child.wire.sock.close()
        began = time.monotonic()
        assert child.process.wait(SOON) == 70
        assert time.monotonic() - began < 1 or os.getloadavg()[0] > os.cpu_count()  # type: ignore[operator]
        assert not (tmp_path / "late").exists()


def test_worker_that_breaks_the_protocol_is_left(tmp_path: Path) -> None:
    for frame in (b"\0\0\0\0", b"\x40\0\0\0", b"\0\0\0\x05hello", b"\0\0\0\x0f" + b'{"type":"stop"}'):
        with FakeWorker('worker.handler("work")(lambda shard: None)', tmp_path) as child:
            child.wire.sock.sendall(frame)
            assert child.process.wait(SOON) == 70
            assert "broke the protocol" in child.said()


def test_sigterm_asks_for_nothing_more_and_what_comes_all_the_same_is_run(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    if shard.page == 0 and shard.attempt == 1:
        open("begun", "w").close()
        wait_for("go")
"""
    with FakeWorker(script, tmp_path, slots=2) as child:
        (first,) = child.tile()
        child.is_there("begun")
        child.process.send_signal(signal.SIGTERM)
        assert child.wire.receive() == {"type": "bye"}
        (second,) = child.tile(attempt=2)
        assert child.answer(second)[0] == "done"
        child.allow("go")
        assert child.answer(first)[0] == "done"
        assert child.drain() == 0


def test_signal_that_another_thread_gets_asks_for_nothing_more_too(tmp_path: Path) -> None:
    # The main thread waits for the worker, and no system call of its own is interrupted.
    script = """
@worker.handler("work")
def work(shard):
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
"""
    with FakeWorker(script, tmp_path) as child:
        child.tile()
        said = [child.wire.receive(), child.wire.receive()]
        assert sorted(str(message["type"]) for message in said if message) == ["bye", "done"]
        assert child.drain() == 0


def test_second_sigterm_ends_the_process(tmp_path: Path) -> None:
    with FakeWorker('worker.handler("work")(lambda shard: None)', tmp_path) as child:
        child.process.send_signal(signal.SIGTERM)
        assert child.wire.receive() == {"type": "bye"}
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(SOON) == -signal.SIGTERM


def test_programs_own_handler_of_a_signal_stays(tmp_path: Path) -> None:
    script = """
worker.handler("work")(lambda shard: None)
signal.signal(signal.SIGTERM, lambda *_: (print("mine"), worker.stop()))
"""
    with FakeWorker(script, tmp_path) as child:
        child.process.send_signal(signal.SIGTERM)
        assert child.wire.receive() == {"type": "bye"}
        assert child.drain() == 0 and "mine" in child.said()


def test_dead_process_is_seen_at_once_though_what_it_forked_lives(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard):
    if os.fork() == 0:
        open("forked", "w").close()
        time.sleep(3600)
    time.sleep(3600)
"""
    with FakeWorker(script, tmp_path) as child:
        child.tile()
        child.is_there("forked")
        child.process.kill()
        # The forked one has no end of the connection: it is over.
        assert child.wire.receive() is None


# Its handler forks, and comes back in both: what it answers is how the other one ended.
FORKS = """
@worker.handler("work")
def work(shard):
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        shard.result(str(os.waitstatus_to_exitcode(status)))
"""


def test_forked_process_that_comes_back_answers_nothing(tmp_path: Path) -> None:
    with FakeWorker(FORKS, tmp_path) as child:
        for _ in range(2):
            (id,) = child.tile()
            assert child.answer(id) == ("done", {"id": id, "result": "70"})
        assert "came back from its handler" in child.said()


def test_forked_process_that_comes_back_ends_though_nobody_can_be_told(tmp_path: Path) -> None:
    script = FORKS + """
    else:
        os.close(2)
"""
    with FakeWorker(script, tmp_path) as child:
        (id,) = child.tile()
        assert child.answer(id) == ("done", {"id": id, "result": "70"})


def test_pool_of_processes_in_a_handler_works_and_can_be_ended(tmp_path: Path) -> None:
    script = """
import multiprocessing
@worker.handler("work")
def work(shard):
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        shard.rows(sum(pool.map(abs, range(10))))
    sleeper = context.Process(target=time.sleep, args=(3600,))
    sleeper.start()
    sleeper.terminate()     # by SIGTERM, which means something else to the worker
    sleeper.join(20)
    shard.result(str(sleeper.exitcode))
"""
    with FakeWorker(script, tmp_path, python=[sys.executable, "-W", "ignore"]) as child:
        (id,) = child.tile()
        assert child.answer(id) == ("done", {"id": id, "rows": 45, "result": "-15"})
        assert child.drain() == 0


def test_spawned_copy_of_the_program_is_no_second_worker(tmp_path: Path) -> None:
    script = """
import multiprocessing
@worker.handler("work")
def work(shard):
    copy = multiprocessing.get_context("spawn").Process(target=print)
    copy.start(); copy.join(20)
    shard.result(str(copy.exitcode))
if __name__ != "__main__":
    worker.run()
"""
    with FakeWorker(script, tmp_path) as child:
        (id,) = child.tile()
        assert child.answer(id) == ("done", {"id": id, "result": "1"})
        assert "would be a second worker" in child.said()


def test_programs_that_a_handler_starts_get_neither_connection_nor_token(tmp_path: Path) -> None:
    script = """
import subprocess
@worker.handler("work")
def work(shard):
    shard.result(subprocess.check_output("env | grep -c -e GRIDLOOM_TOKEN -e GRIDLOOM_SOCKET; ls /proc/self/fd | wc -l",
        shell=True, text=True))
"""
    with FakeWorker(script, tmp_path) as child:
        (id,) = child.tile()
        # Standard streams, and the folder that ls reads.
        assert child.answer(id)[1]["result"].split() == ["0", "4"]


def test_crash_says_where_it_was(tmp_path: Path) -> None:
    script = """
import ctypes
@worker.handler("work")
def falls(shard): ctypes.string_at(0)
"""
    with FakeWorker(script, tmp_path) as child:
        child.tile()
        assert child.process.wait(SOON) == -signal.SIGSEGV
        said = child.said()
        # The end of it has to be that: a failure's text has room for no more.
        assert "in falls" in said and "in _listen" not in said


def test_probe_is_stopped_like_a_shard(tmp_path: Path) -> None:
    script = """
@worker.handler("work")
def work(shard): pass
@worker.pages("work")
def pages(probe):
    open("begun", "w").close()
    n = 0
    while True:
        n += 1
        yield n, n
        time.sleep(0.005)
"""
    with FakeWorker(script, tmp_path) as child:
        id = child.probe()
        child.is_there("begun")
        child.stop([id])
        assert child.answer(id)[0] == "stopped"


def test_tasks_that_a_handler_has_left_end_with_the_loop(tmp_path: Path) -> None:
    script = """
left = []
async def lasts():
    try: await asyncio.sleep(3600)
    finally: open("tidy", "w").close()
@worker.handler("work")
async def work(shard):
    left.append(asyncio.ensure_future(lasts()))
    await asyncio.sleep(0)
"""
    with FakeWorker(script, tmp_path) as child:
        (id,) = child.tile()
        assert child.answer(id)[0] == "done"
        assert child.drain() == 0
        assert (tmp_path / "tidy").exists() and "pending" not in child.said()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_process_whose_handler_has_closed_its_connection_ends_and_says_so(tmp_path: Path, kind: str) -> None:
    script = f"""
@worker.handler("work")
{kind} work(shard):
    os.closerange(3, 256)
"""
    with FakeWorker(script, tmp_path) as child:
        child.tile()
        assert child.process.wait(SOON) == 70
