"""A program's output as lines, and as the screen that it left."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.console.emulate import last_screen
from podsh.console.text import LONGEST, Text


def lines(data: bytes, cut: int = 0) -> list[str]:
    text = Text()
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]
    return [line for piece in pieces for line in text.feed(piece)] + text.end()


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\x1b[31mred\x1b[0m\r\nhalf", ["red", "half"]),
        (b"10%\r20%\r100%\r\n", ["100%"]),
        (b"b\x08bo\x08old \xc3\xa9\x08e\n", ["bold e"]),
        (b"a\x1b[?1049hdrawn\r\non it\x1b[?1049lb\n", ["ab"]),
        (b"a\x1b]0;title\x07b\x1b]52;c;x\x1b\\c\n", ["abc"]),
        (b"\xe2\x80\xae\xc2\x9b\xff\n", ["\\u202e\ufffd"]),
    ],
)
def test_lines(written: bytes, shown: list[str], cut: int) -> None:
    assert lines(written, cut) == shown


def test_a_line_without_an_end_comes_in_pieces() -> None:
    found = lines(b"x" * (3 * LONGEST + 5), 1 << 14)
    assert "".join(found) == "x" * (3 * LONGEST + 5)
    assert max(map(len, found)) <= LONGEST


def test_heaps_of_backspaces_are_quick() -> None:
    start = time.perf_counter()
    lines(b"x" * 30000 + b"\b" * 30000 + b"\n")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("written", "rows"),
    [
        (b"$ ls\r\na  b\r\n$ ", ["$ ls", "a  b", "$"]),
        (b"old\x1b[2J\x1b[2;3Hnew", ["", "  new"]),
        (b"shell\r\n\x1b[?1049h\x1b[H\x1b[2Jvim\r\n~", ["vim", "~"]),
        (b"shell\r\n\x1b[?1049hvim\x1b[?1049l$ ", ["shell", "$"]),
        (b"\x1b(0lqk\x1b(B ok", ["┌─┐ ok"]),
        (b"a\x1b[9b", ["a" * 10]),
        (b"1\r\n2\r\n3\r\n4\x1b[2S", ["3", "4"]),
        (b"1\r\n2\r\n3\r\n4\x1b[T", ["", "1", "2", "3"]),
        (b"\x1b[>4;2m\x1b[38:5:7mx\x1b[1;2A\x1b[?1Ky\x1b[!pz", [" yz"]),
        (b"\x1b[31", []),
        ("日本e\u0301\u200bx".encode(), ["日本\xe9x"]),
        (b"x\x1bcy", ["y"]),
    ],
)
def test_the_last_screen(written: bytes, rows: list[str]) -> None:
    assert last_screen(written, 4, 20) == rows


@given(
    st.lists(
        st.sampled_from(
            [
                b"\x1b[",
                b"?",
                b"1",
                b"49",
                b";",
                *(bytes([c]) for c in range(0x20, 0x7F)),
                b"\x1b",
                b"\n",
                b"\xc3\xa9",
                b"\xcc\x81",
                b"\x1b[?1049h",
                b"\x1b(0",
                b"\x0e",
            ]
        ),
        max_size=60,
    )
)
def test_no_output_is_too_odd_for_a_screen(pieces: list[bytes]) -> None:
    found = last_screen(b"".join(pieces), 5, 30)
    assert len(found) <= 5
    assert all(line.isprintable() for line in found)


def test_heaps_of_marks_are_quick() -> None:
    start = time.perf_counter()
    last_screen(b"e" + b"\xcc\x81" * 100000, 24, 80)
    last_screen(b"\x1b[99999b" * 3000 + b"\x1b[99999S" * 3000, 24, 80)
    assert time.perf_counter() - start < 20
