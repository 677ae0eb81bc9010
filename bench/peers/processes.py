"""Processes of ours: each in a session of its own, so that it and all that it starts can be ended; and what they use."""
import os
import pathlib
import selectors
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
# What a measurement may take at most; one that takes longer hangs.
PATIENCE = 300
# Servers do not run as root.
NOBODY = 65_534

_running = []


class Failed(Exception):
    """A program could not be had, or did not do what it was asked to."""


class Process:
    """A program that says on its standard output how far it is."""

    def __init__(self, command, env=None, log=None, as_nobody=False):
        rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody and os.geteuid() == 0 else {}
        self.name = pathlib.Path(command[0]).name
        self.child = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=log or subprocess.PIPE, cwd="/", start_new_session=True, **rights)
        _running.append(self)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def line(self):
        """The next line of its output, and when it came."""
        give_up = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self.child.stdout, selectors.EVENT_READ)
            while b"\n" not in self.pending:
                if not selector.select(max(0, give_up - time.monotonic())):
                    raise Failed(f"{self.name} says nothing for {PATIENCE} s")
                read = os.read(self.child.stdout.fileno(), 1 << 16)
                if not read:
                    raise Failed(f"{self.name} ended: {self.error()}")
                self.pending += read
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(), time.monotonic()

    def output(self):
        """All that it says, to its end."""
        try:
            said, _ = self.child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"{self.name} takes more than {PATIENCE} s") from late
        return said.decode()

    def reaches(self, word):
        """When it said so."""
        line, at = self.line()
        if line != word:
            raise Failed(f"{self.name} said {line!r} instead of {word!r}")
        return at

    def error(self):
        self.child.wait(10)
        said = self.child.stderr.read().decode() if self.child.stderr else ""
        return said.strip()[-2_000:] or f"code {self.child.returncode}"

    def end(self, how=signal.SIGTERM, patience=20):
        """Ends it, and what it has started."""
        if self not in _running:
            return
        for number in (how, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, number)
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                pass
            break
        self.child.wait()
        _kill_group(self.child.pid)
        _running.remove(self)


def _kill_group(leader):
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_all():
    for process in reversed(_running[:]):
        process.end(patience=5)


def run(command, cwd=None, env=None, as_nobody=False):
    """Runs a program to its end; what it said is told only when it fails."""
    rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody and os.geteuid() == 0 else {}
    try:
        child = subprocess.Popen(
            command, cwd=cwd or "/", env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **rights)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from error
    try:
        said, _ = child.communicate()
    except BaseException:
        _kill_group(child.pid)
        child.wait()
        raise
    if child.returncode:
        raise Failed(f"{' '.join(map(str, command[:3]))} ...: {said.decode()[-2_000:].strip()}")


class Usage:
    """Processor seconds: of the machine, and of this process with all that descends from it."""

    def __init__(self):
        self.at = time.monotonic()
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        self.busy = (sum(fields) - fields[3] - fields[4]) / TICKS
        self.ours = _tree()

    def until(self, later):
        """Of ours in seconds, and which part of the machine others had."""
        ours = later.ours - self.ours
        machine = (later.at - self.at) * (os.cpu_count() or 1)
        return ours, max(0.0, (later.busy - self.busy - ours) / machine)


def _tree():
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            # Its parent; its own time, and that of its children which have ended.
            children.setdefault(int(fields[1]), []).append((int(entry.name), sum(map(int, fields[11:15]))))
    own = os.times()
    ticks, known = 0, [os.getpid()]
    while known:
        for pid, used in children.get(known.pop(), []):
            ticks += used
            known.append(pid)
    return ticks / TICKS + sum(own[:4])
