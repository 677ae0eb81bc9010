"""Keys have the slices that docs/SLICING.md says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Tuple

import pytest

from gridloom import slice_of

PAGE = Path(__file__).parents[3] / "docs" / "SLICING.md"


def vectors() -> List[Tuple[str, int, int, int]]:
    rows = [line.split("|")[1:5] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip().strip("`") for cell in row] for row in rows]
    return [(json.loads(key), int(hash, 16), int(of_7), int(of_65536)) for key, hash, of_7, of_65536 in cells]


def test_vectors_of_the_page_are_ours() -> None:
    assert len(vectors()) >= 8
    for key, hash, of_7, of_65536 in vectors():
        assert slice_of(key, 7) == of_7, key
        assert slice_of(key, 65_536) == of_65536, key
        assert slice_of(key, 2**32 - 1) == hash % (2**32 - 1), key


def test_whole_number_is_hashed_as_its_digits() -> None:
    assert slice_of(-42, 65_536) == slice_of("-42", 65_536)


@pytest.mark.parametrize("key", [b"a", 1.0, None, True])
def test_key_that_sides_could_write_differently_is_refused(key: object) -> None:
    with pytest.raises(TypeError):
        slice_of(key, 7)  # type: ignore[arg-type]
