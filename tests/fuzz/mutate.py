"""Inputs that are nearly right: words of a kind put together, then cut, doubled, swapped.

By nothing but a seed, so that each can be made again. Also run in processes of its own: imports
nothing of the suite.
"""

from __future__ import annotations

import random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMON = (
    b"",
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\x1b",
    b"\n",
    b"\r",
    b" ",
    b"/",
    b"..",
    b"-1",
    b"0",
    b"4294967296",
    b"9" * 40,
    b"A" * 300,
    b"%s%n",
    b"\xe2\x80\xae",
    b"\xf4\x90\x80\x80",
)


def inputs(seed: int, count: int, words: Sequence[bytes]) -> Iterator[bytes]:
    """``count`` inputs made of ``words``."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray()
        for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 9, 20))):
            data += rng.choice(words if rng.random() < 0.9 else COMMON)
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
            _change(rng, data)
        yield bytes(data)


def _change(rng: random.Random, data: bytearray) -> None:
    at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    how = rng.randrange(6)
    if how == 0:
        del data[at:end]
    elif how == 1:
        data[at:at] = data[at:end]
    elif how == 2:
        data[at:at] = rng.choice(COMMON)
    elif how == 3 and data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == 4:
        data[at:at] = rng.randbytes(rng.randrange(9))
    else:
        del data[end:]
