"""Makes the wheel, and does with it what a newcomer does: installs it into a fresh environment, writes three lines of handler,
starts `gridloom dev -- python hello.py`, and runs a job of it to its end.

    python3 sdk/python/wheel/try.py              # a release build, which takes minutes where nothing of it is built yet
    python3 sdk/python/wheel/try.py --profile dev
    python3 sdk/python/wheel/try.py --wheel FILE # one that is there already

Needs Rust, and pip with its package index for maturin. Nothing is left behind but what cargo has built.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

# Where the wheel is described.
SDK = pathlib.Path(__file__).resolve().parents[2]
HANDLER = '''import gridloom

worker = gridloom.Worker()


@worker.handler("hello")
def hello(shard):
    print("slice", shard.slice, "of", shard.slices)
    shard.rows()


if __name__ == "__main__":
    worker.run()
'''
JOB = '''name = "hello"
handler = "hello"
[grid]
slices = 8
'''
START_S = 120
RUN_S = 60


def say(text):
    print(text, flush=True)


def run(command, **more):
    """Runs it to its end, which has to be a good one."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, text=True, capture_output=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command[:4]))} ... ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder, profile):
    """The wheel, made by pip with maturin."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", folder]
    if profile:
        command += ["--config-settings", f"build-args=--profile {profile}"]
    run([*command, SDK])
    [wheel] = folder.glob("gridloom-*.whl")
    return wheel


def environment(scripts):
    """As somebody has it who has activated the environment, and no settings of his own."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("GRIDLOOM_", "PYTHON")) or name == "GRIDLOOM_NATS_SERVER"}
    return {**kept, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def where(dev, said):
    """What `dev` says of itself, once it does."""
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and dev.poll() is None:
        try:
            return json.loads(said.read_text())
        except ValueError:
            time.sleep(0.1)
    sys.exit("gridloom dev does not start")


def play(folder, scripts):
    """Three lines of handler, the stack, and a run."""
    (folder / "hello.py").write_text(HANDLER)
    (folder / "hello.toml").write_text(JOB)
    env, said = environment(scripts), folder / "said"
    with open(said, "w") as stdout, open(folder / "log", "w") as log:
        dev = subprocess.Popen(["gridloom", "--json", "dev", "--port", "0", "--", "python", "hello.py"], cwd=folder, env=env,
                               stdin=subprocess.DEVNULL, stdout=stdout, stderr=log)
    try:
        nats = where(dev, said)["nats"]
        ask = ["gridloom", "--json", "--nats", nats]
        run([*ask, "job", "apply", "hello.toml"], cwd=folder, env=env, timeout=RUN_S)
        run([*ask, "run", "hello", "--id", "first", "--wait"], cwd=folder, env=env, timeout=RUN_S)
        [ran] = json.loads(run([*ask, "runs", "hello"], cwd=folder, env=env, timeout=RUN_S))
        shown = json.loads(run([*ask, "show", ran["run"]], cwd=folder, env=env, timeout=RUN_S))
        found = shown["state"], shown["shards"]["done"], shown["rows"]
        if found != ("succeeded", 8, 8):
            sys.exit(f"the run is {found}, and not succeeded with 8 shards and 8 rows")
    except BaseException:
        print((folder / "log").read_text()[-4_000:], file=sys.stderr)
        raise
    finally:
        dev.terminate()
        dev.wait(30)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--profile", help="the profile that cargo builds with (release)")
    parser.add_argument("--wheel", type=pathlib.Path, help="a wheel that is there already")
    flags = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gridloom-wheel-"))
    try:
        begun = time.monotonic()
        wheel = flags.wheel.resolve() if flags.wheel else build(folder, flags.profile)
        names = [name for name in zipfile.ZipFile(wheel).namelist() if "/scripts/" in name or name == "gridloom/__init__.py"]
        if len(names) != 2:
            sys.exit(f"{wheel.name} has {names}, and not the command and the library")
        say(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, after {time.monotonic() - begun:.0f} s")
        begun = time.monotonic()
        run([sys.executable, "-m", "venv", folder / "fresh"])
        scripts = folder / "fresh" / "bin"
        run([scripts / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", wheel])
        play(folder, scripts)
        say(f"installed, and a run of its handler succeeded: {time.monotonic() - begun:.0f} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
