"""What was found: medians over the rounds with the least and the most, and how often the engine does what a peer does."""
import os
import pathlib
import platform
import statistics


def machine():
    """For the record."""
    names = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return {"cores": os.cpu_count(), "processor": names[0] if names else platform.machine(),
            "memory_gib": round(memory, 1), "kernel": platform.release()}


def file_system(folder):
    """Of which kind the one is that holds this folder."""
    best = ("", "unknown")
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if pathlib.Path(point) in [folder, *folder.parents] and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def spread(values):
    """Median, least and most; nothing where there is no value."""
    values = [value for value in values if value is not None]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)} if values else None


def key(way):
    """Which samples of a round are its own."""
    return way["name"], way["durable"]


def ratios(rounds, way, part, name, durable):
    """In each round: what the engine's way `name` did, to what this one did."""
    found = []
    for samples in rounds:
        of, than = (samples.get(each, {}).get(part) for each in (key(way), (name, durable)))
        found.append(than / of if of and than else None)
    return spread(found)


def conclude(ways, rounds, settings):
    """A row for each way; beside it the engine's in the setting that has what is confirmed on the disk as soon."""
    rows = []
    for way in ways:
        durable = "at each write" if way["durable"] == "at commit" else way["durable"]
        _, _, grid, _, small, python, _ = settings[durable]
        samples = [samples[key(way)] for samples in rounds if key(way) in samples]
        of = lambda part: spread([sample.get(part) for sample in samples])
        start = [sample["start_ms"] for sample in samples if "start_ms" in sample]
        rows.append({
            **way,
            **{part: of(part) for part in
               ("enqueued_per_second", "worked_per_second", "both_per_second", "processor_ms", "others")},
            "start_p50_ms": spread([at["p50"] for at in start]),
            "start_p99_ms": spread([at["p99"] for at in start]),
            "grid_ratio": ratios(rounds, way, "worked_per_second", grid, durable),
            "small_ratio": ratios(rounds, way, "both_per_second", small, durable),
            "python_ratio": ratios(rounds, way, "worked_per_second", python, durable) if "Python" in way["name"] else None,
        })
    return rows


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _whole(of, digits=None):
    """The median and, in parentheses, between what."""
    if not of:
        return ""
    shown = _number if digits is None else lambda value: f"{value:.{digits}f}"
    return f"{shown(of['median'])} ({shown(of['min'])} to {shown(of['max'])})"


def _median(of, digits=None):
    return "" if not of else _number(of["median"]) if digits is None else f"{of['median']:.{digits}f}"


def table(rows):
    """As Markdown."""
    head = ["way", "on the disk", "at once", "enqueued/s", "worked/s", "engine's grid to it", "its grid in Python", "both/s",
            "engine's ad hoc to it", "processor, ms", "start p50, ms", "p99", "others"]
    lines = [head, ["---", "---", *["---:"] * 11]]
    for row in rows:
        lines.append([
            row["name"], row["durable"], row["at_once"], _median(row["enqueued_per_second"]),
            _whole(row["worked_per_second"]), _whole(row["grid_ratio"], 2), _whole(row["python_ratio"], 2),
            _whole(row["both_per_second"]),
            _whole(row["small_ratio"], 2), _median(row["processor_ms"], 3), _whole(row["start_p50_ms"], 1),
            _median(row["start_p99_ms"], 1),
            f"{row['others']['median']:.0%}" if row["others"] else ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
