"""Output as plain text, piece by piece, and what is found in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from podsh.console.plain import KEPT, Output, Plain


def plain(*pieces: bytes) -> str:
    found = Plain()
    return "".join([found.feed(piece) for piece in pieces] + [found.feed(b"", True)])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\r\nb\n", "a\nb\n"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07done\x1b(B", "red done"),
        (b"\x1b]0;title\x1b\\x", "x"),
        (b"\x1bPq\r\n#\x1b\\x", "x"),
        (b"10%\r20%\r\n", "10%\n20%\n"),
        ("日本\x1b[m語".encode(), "日本語"),
        (b"\xff\x07", "\ufffd"),
    ],
)
def test_text(data: bytes, text: str) -> None:
    assert plain(data) == text
    assert plain(*(data[at : at + 1] for at in range(len(data)))) == text


PARTS = [
    b"\x1b",
    b"[",
    b"]",
    b"P",
    b"\\",
    b"m",
    b"0;",
    b"\x07",
    b"\r",
    b"\n",
    b"text",
    b"\xe6\x97\xa5",
]


@given(st.lists(st.sampled_from(PARTS)), st.lists(st.integers(1, 9)))
@example([b"\r", b"\r", b"\x1b"], [1, 1])
@example([b"\r", b"\x1b", b"[", b"m", b"\r"], [3])
def test_the_cut_of_pieces_does_not_matter(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    pieces, at = [], 0
    for size in cuts:
        pieces.append(data[at : at + size])
        at += size
    assert plain(*pieces, data[at:]) == plain(data)


def test_a_sequence_that_never_ends_takes_no_memory() -> None:
    found = Plain()
    found.feed(b"\x1b]0;")
    for _ in range(100):
        assert found.feed(b"x" * 10_000) == ""
    assert len(found._open) < 100_000
    assert found.feed(b"\x07after") == "after"


def find(output: Output, pattern: str) -> str | None:
    found = output.find(re.compile(pattern, re.MULTILINE))
    return found[0] if found else None


def test_each_search_goes_on_where_the_last_ended() -> None:
    output = Output()
    output.feed(b"one ready\r\ntwo ready\r\nready")
    assert find(output, "ready") == "ready"
    assert find(output, "one") is None
    assert find(output, r"^\w+ ready$") == "two ready"
    assert find(output, "^ready") == "ready"
    assert find(output, "ready") is None
    output.feed(b"\r\nready")
    assert find(output, "^ready") == "ready"
    assert output.place == 34


def test_a_line_does_not_begin_where_a_match_ended() -> None:
    output = Output()
    output.feed(b"ab")
    assert find(output, "a") == "a"
    assert find(output, "^b") is None
    assert find(output, "b") == "b"


def test_much_text_takes_no_memory() -> None:
    output = Output()
    for _ in range(50):
        output.feed(b"x" * 10_000 + b"\n")
        assert find(output, "ready") is None
    output.feed(b"re")
    assert find(output, "ready") is None
    output.feed(b"ady")
    assert find(output, "ready") == "ready"
    assert len(output._text) <= KEPT + 10_001


def test_over_a_gap_nothing_goes_on() -> None:
    output = Output(3.0)
    output.feed(b"re\x1b[")
    output.skip_to(100)
    output.feed(b"ady")
    assert find(output, "ready") is None
    assert (output.place, output.started) == (103, 3.0)
