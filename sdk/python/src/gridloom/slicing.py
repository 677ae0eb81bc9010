"""Which slice a key belongs to: a stable hash that SQL and every other language can repeat.

docs/SLICING.md has it for databases and other languages, with test vectors.
"""

from __future__ import annotations

import hashlib
from typing import Union

__all__ = ["slice_of"]


def slice_of(key: Union[str, int], slices: int) -> int:
    """The slice of ``key`` among ``slices``. A whole number is hashed as its plain decimal digits.

    >>> slice_of("N14228", 16)
    1
    """
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise TypeError(f"a key is a str or an int, not {type(key).__name__}: write it as text that all sides agree on")
    # For spread, not for secrecy: a Python in FIPS mode allows MD5 for that alone.
    digest = hashlib.md5(str(key).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") % slices
