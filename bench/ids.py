"""What a broker's memory keeps of each id that is remembered: resident memory of a nats-server alone, beside messages that each have a
subject of their own, as ids of purged runs have.

    python3 bench/ids.py [MESSAGES]

docs/OPERATIONS.md ("Sizing") has what came out.
"""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

SERVER = os.path.expanduser("~/.cache/gridloom/nats-server-2.15.1/nats-server")
STEP = 50_000
PAYLOAD = b"x" * 120


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.socket.sendall(b'CONNECT {"verbose":false}\r\nSUB in 1\r\n')

    def publish(self, subjects):
        self.socket.sendall(b"".join(b"PUB %s %d\r\n%s\r\n" % (subject, len(PAYLOAD), PAYLOAD) for subject in subjects))

    def ask(self, subject, question):
        body = json.dumps(question).encode()
        self.socket.sendall(b"PUB %s in %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        while not (line := self.lines.readline()).startswith(b"MSG"):
            if line.startswith(b"PING"):
                self.socket.sendall(b"PONG\r\n")
        answer = json.loads(self.lines.read(int(line.split()[-1]) + 2))
        if "error" in answer:
            raise SystemExit(f"{subject}: {answer['error']}")
        return answer


def resident(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


def measure(client, server, messages):
    stream = {"name": "ids", "subjects": ["ids.>"], "storage": "file", "max_msgs_per_subject": 1}
    client.ask("$JS.API.STREAM.CREATE.ids", stream)
    first = None
    for kept in range(STEP, messages + 1, STEP):
        for _ in range(STEP // 500):
            client.publish([b"ids.default.job_r_%032x.plan" % random.getrandbits(128) for _ in range(500)])
        while client.ask("$JS.API.STREAM.INFO.ids", {})["state"]["messages"] < kept:
            time.sleep(0.1)
        time.sleep(2)
        now = resident(server)
        # What a broker takes before it remembers anything does not count.
        first = first or now
        each = f", {(now - first) / (kept - STEP):.0f} bytes each from {STEP:,} on" if kept > STEP else ""
        print(f"{kept:,} messages: {now / 1048576:.1f} MiB{each}", flush=True)


def main():
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "nats.conf")
        config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{directory}/store" }}\n')
        server = subprocess.Popen([SERVER, "--config", config], stderr=subprocess.DEVNULL)
        try:
            while True:
                try:
                    client = Client(port)
                    break
                except OSError:
                    time.sleep(0.1)
            measure(client, server, messages)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


main()
