"""Counts the words of a text file, each slice its own lines.

    gridloom dev                                          # leave it running
    gridloom worker --processes 2 -- python3 words.py     # in this folder; leave it running
    gridloom job apply words.toml
    gridloom run words --wait --param file=words.py
"""

from pathlib import Path

import gridloom

worker = gridloom.Worker()


@worker.handler("words")
def words(shard: gridloom.Shard) -> None:
    file = shard.params.get("file")
    if not file:
        raise gridloom.Permanent("params.file is missing: say --param file=PATH")
    longest = ""
    # A file that is not there is tried again: it may come.
    for number, line in enumerate(Path(file).read_text().splitlines()):
        if not shard.owns(number):
            continue
        shard.check()
        shard.rows()
        for word in line.split():
            shard.count("words")
            longest = max(longest, word, key=len)
    shard.result(longest[:200])


if __name__ == "__main__":
    worker.run()
