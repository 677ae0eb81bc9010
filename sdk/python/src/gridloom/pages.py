"""Which answers to a probe can be believed, and how much of one fits.

A row whose key lies in two pages is done twice, and no audit of shards would show it: pages that share a key are
refused, whatever their type.
"""

from __future__ import annotations

import operator
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .failure import Permanent
from .shard import Key, Probe

__all__ = ["Answer"]

#: Most bytes of a key that is a text.
KEY_MAX = 256
_INT64 = range(-(2**63), 2**63)


class Answer:
    """Takes pages one by one, until no more fit."""

    def __init__(self, probe: Probe) -> None:
        self.pages: List[Tuple[Key, Key]] = []
        #: Where the next probe goes on; ``None``: the slice is known to its end.
        self.cursor: Optional[Key] = None
        self._probe = probe
        self._room, self._most = probe.room, probe.pages_max
        self._texts: Set[Key] = set()

    def take(self, page: Any) -> bool:
        """Whether the page was taken. Where not, the rest is for the next probe, which goes on behind the last one."""
        try:
            first, last = page
        except (TypeError, ValueError):
            raise Permanent(f"a page is its first and its last key, not {page!r}") from None
        keys = _key(first), _key(last)
        cost = 1 + _cost(keys[0]) + _cost(keys[1])
        if self.pages and (cost > self._room or len(self.pages) >= self._most):
            self.cursor = self.pages[-1][1]
            return False
        if cost > self._room:
            raise Permanent(f"a page whose keys take {cost} bytes, {self._room} are the most")
        self._check(keys)
        self._room -= cost
        self.pages.append(keys)
        return True

    def _check(self, keys: Tuple[Key, Key]) -> None:
        number = len(self.pages) + 1
        before = self.pages[-1][1] if self.pages else self._probe.after
        first, last = keys
        if type(first) is not type(last) or (before is not None and type(before) is not type(first)):
            raise Permanent(f"page {number} with whole numbers for keys beside texts: take one type")
        if isinstance(first, str):
            # How texts are ordered only their database knows, but one that comes twice is in two pages in every order.
            again = first == before or not self._texts.isdisjoint(keys)
            self._texts.update(keys)
        else:
            again = before is not None and first == before
            if before is not None and not again and first < before:  # type: ignore[operator]
                raise Permanent(f"page {number} begins before the page before it ends: pages must be in order")
            if first > last:  # type: ignore[operator]
                raise Permanent(f"page {number} ends before it begins")
        if again:
            unique = "the key of pages must be unique: take one that is, such as the primary key"
            raise Permanent(f"page {number} shares a key with a page before it, whose row would be done twice: {unique}")

    def fill(self, pages: Callable[[Probe], Any]) -> None:
        """Asks a function, or a generator, for pages as far as they fit."""
        for page in pages(self._probe):
            self._probe.check()
            if not self.take(page):
                return

    async def fill_async(self, pages: Callable[[Probe], Any]) -> None:
        """Likewise, one that is ``async``."""
        found = pages(self._probe)
        if not hasattr(found, "__aiter__"):
            for page in await found:
                if not self.take(page):
                    return
            return
        async for page in found:
            self._probe.check()
            if not self.take(page):
                await found.aclose()
                return

    def message(self) -> Dict[str, Any]:
        """The message of the child protocol."""
        said = {"type": "pages", "id": self._probe.id, "pages": [list(page) for page in self.pages]}
        return said if self.cursor is None else {**said, "cursor": self.cursor}


def _key(key: Any) -> Key:
    if isinstance(key, str):
        size = len(key.encode("utf-8", "replace"))
        if size > KEY_MAX:
            raise Permanent(f"a key of {size} bytes, {KEY_MAX} are the most")
        return key
    try:
        number = None if isinstance(key, bool) else operator.index(key)
    except TypeError:
        number = None
    if number is None:
        raise Permanent(f"a key is a whole number or a text, not {type(key).__name__}: write str(...) around it")
    if number not in _INT64:
        raise Permanent(f"the key {number} goes beyond 64 bits: write it as text")
    return number


def _cost(key: Key) -> int:
    return len(key.encode("utf-8", "replace")) + 5 if isinstance(key, str) else 9
