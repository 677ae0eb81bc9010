"""Makes unix.tsv: crontab expressions, each with the first ten times after 2026-01-01 00:00 UTC at which cronsim, which
keeps to Debian's cron, fires them, or "refused". Times in UTC, where no clock changes.

With cronsim 2.8:  python3 unix.py > unix.tsv
"""

import random
from datetime import datetime, timezone

from cronsim import CronSim, CronSimError

BY_HAND = """
* * * * *|*/5 * * * *|0 9-17 * * 1-5|0 0 * * 0|0 0 * * 7|0 0 * * sun|0 0 13 * 5|0 0 1,15 * 1|0 0 */2 * 1|0 0 13 * */2
0 0 * * 5-7|0 0 29 2 *|0 0 29 2 1|0 0 31 * *|0 0 L * *|0 0 * * 5L|0 0 * * 5#3|0 0 * * 0#1|30 4 1 jan,jul *|0 0 1-7 * 1
0 0 30 2 *|60 * * * *|* 24 * * *|* * 0 * *|* * 32 * *|* * * 0 *|* * * 13 *|* * * * 8|*/0 * * * *|* * * *|x * * * *|- * * * *
""".replace("\n", "|").strip("|").split("|")


def plain(least, most):
    first, last = sorted(random.sample(range(least, most + 1), 2))
    step = random.randint(1, min(most, 12))
    return random.choice(["*", "*", f"{first}", f"{first}-{last}", f"{first},{last}", f"*/{step}", f"{first}-{last}/{step}"])


def some():
    return " ".join(plain(*bounds) for bounds in [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)])


def fires(expression):
    try:
        found = CronSim(expression, datetime(2026, 1, 1, tzinfo=timezone.utc))
        return " ".join(at.strftime("%Y-%m-%dT%H:%M:%SZ") for _, at in zip(range(10), found))
    except CronSimError:
        return "refused"


random.seed(12)
for expression in BY_HAND + [some() for _ in range(300 - len(BY_HAND))]:
    print(expression, fires(expression), sep="\t")
