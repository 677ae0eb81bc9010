"""Frames as both sides have them: those of sdk/frames.json, and hostile ones."""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from gridloom.frames import FRAME_MAX, Connection, ProtocolError, connect, encode

GOLDEN: Dict[str, Any] = json.loads((Path(__file__).parents[2] / "frames.json").read_text())


Pair = Callable[[], Tuple[Connection, socket.socket]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    made: List[socket.socket] = []

    def make() -> Tuple[Connection, socket.socket]:
        ours, theirs = socket.socketpair()
        made.extend((ours, theirs))
        ours.settimeout(20)
        theirs.settimeout(20)
        return Connection(ours), theirs

    yield make
    for sock in made:
        sock.close()


@pytest.mark.parametrize("frame", GOLDEN["frames"], ids=lambda frame: frame["name"])
def test_golden_frame_is_read_as_its_message(pair: Pair, frame: Dict[str, Any]) -> None:
    connection, theirs = pair()
    theirs.sendall(bytes.fromhex(frame["hex"]) * 2)
    assert connection.receive() == frame["message"]
    assert connection.receive() == frame["message"]
    theirs.close()
    assert connection.receive() is None


@pytest.mark.parametrize("frame", GOLDEN["frames"], ids=lambda frame: frame["name"])
def test_what_is_written_is_read_as_the_same(frame: Dict[str, Any]) -> None:
    written = encode(frame["message"])
    assert int.from_bytes(written[:4], "big") == len(written) - 4
    assert json.loads(written[4:]) == frame["message"]


@pytest.mark.parametrize("frame", GOLDEN["broken"], ids=lambda frame: frame["name"])
def test_broken_frame_is_told_as_such(pair: Pair, frame: Dict[str, Any]) -> None:
    connection, theirs = pair()
    theirs.sendall(bytes.fromhex(frame["hex"]))
    with pytest.raises(ProtocolError):
        connection.receive()


def test_bounds_are_those_of_the_page() -> None:
    assert GOLDEN["frame_max"] == FRAME_MAX
    with pytest.raises(ValueError):
        encode({"type": "x", "text": "x" * FRAME_MAX})


def test_length_takes_no_room_before_its_bytes_are_there(pair: Pair) -> None:
    connection, theirs = pair()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):
        connection, theirs = pair()
        theirs.sendall(FRAME_MAX.to_bytes(4, "big") + b"{")
        theirs.close()
        assert connection.receive() is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096


def test_half_a_frame_is_none(pair: Pair) -> None:
    connection, theirs = pair()
    theirs.sendall(encode({"type": "drain"})[:-1])
    theirs.close()
    assert connection.receive() is None


def test_nested_without_end_is_broken(pair: Pair) -> None:
    connection, theirs = pair()
    body = b"[" * 200_000
    threading.Thread(target=theirs.sendall, args=(len(body).to_bytes(4, "big") + body,), daemon=True).start()
    with pytest.raises(ProtocolError):
        connection.receive()


def test_half_of_a_pair_does_not_break_the_frame() -> None:
    assert json.loads(encode({"type": "x", "text": "a\ud800b"})[4:])["text"] == "a?b"


def test_many_threads_may_send_and_frames_stay_whole(pair: Pair) -> None:
    connection, theirs = pair()
    reader = Connection(theirs)

    def send(number: int) -> None:
        for _ in range(50):
            connection.send({"type": "x", "text": str(number) * 50_000})

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        message = reader.receive()
        assert message is not None and set(message["text"]) <= {message["text"][0]}
    for thread in threads:
        thread.join()


def test_sending_to_nobody_is_no_error(pair: Pair) -> None:
    connection, theirs = pair()
    theirs.close()
    for _ in range(3):
        connection.send({"type": "bye"})


@pytest.mark.parametrize("address", ["tcp:", "tcp:7070", "tcp:127.0.0.1:", "tcp:127.0.0.1:x"])
def test_address_that_is_none_says_how_to_write_it(address: str) -> None:
    with pytest.raises(ValueError, match="GRIDLOOM_SOCKET"):
        connect(address)


def test_socket_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        connect(os.path.join(tmp_path, "s"))
