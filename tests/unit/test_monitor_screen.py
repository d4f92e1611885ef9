"""What is kept of a program's output for who comes to look at it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.monitor.screen import REPLAY_BYTES, RING_BYTES, Screen

ENTER = b"\x1b[?1049h\x1b[H\x1b[2J"


def fed(*pieces: bytes) -> Screen:
    screen = Screen()
    for piece in pieces:
        screen.feed(piece)
    return screen


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 8, 1000])
@pytest.mark.parametrize(
    ("written", "replayed"),
    [
        (b"$ ls\r\na b\r\n$ ", b"$ ls\r\na b\r\n$ "),
        (b"$ vim\r\n\x1b[?1049h~\r\n~", b"$ vim\r\n" + ENTER),
        (b"$ vim\r\n\x1b[?1049h~\x1b[?1049l$ ", b"$ vim\r\n$ "),
        (b"$ \x1b[?47hx\x1b[?47ly\x1b[?1047hz\x1b[?1047l", b"$ y"),
        (b"old\x1bcnew", b"new"),
        (b"\x1b[?1049hdrawn\x1bc$ ", b"$ "),
        (b"\x1b[31mred\x1b[0m", b"\x1b[31mred\x1b[0m"),
    ],
)
def test_the_normal_screen_is_kept(written: bytes, replayed: bytes, cut: int) -> None:
    screen = fed(*(written[at : at + cut] for at in range(0, len(written), cut)))
    assert screen.replay() == replayed


@pytest.mark.parametrize(
    "question",
    [
        b"\x1b[c",
        b"\x1b[>0c",
        b"\x1b[6n",
        b"\x1b[5n",
        b"\x1b[?2026$p",
        b"\x1b[>q",
        b"\x1b[18t",
        b"\x1bZ",
        *[b"\x1b]11;?\x1b\\", b"\x1bP+q544e\x1b\\", b"\x1bP$qm\x1b\\", b"\x05"],
    ],
)
def test_a_replay_asks_nothing(question: bytes) -> None:
    assert fed(b"a" + question + b"b").replay() == b"ab"


def test_modes_come_back() -> None:
    screen = fed(b"\x1b[?1000;1006;2004h\x1b[?25l\x1b[?1h\x1b=\x1b[?2004l")
    modes = screen.modes()
    for mode in (
        b"\x1b[?1000h",
        b"\x1b[?1006h",
        b"\x1b[?2004l",
        b"\x1b[?25l",
        b"\x1b[?1h",
        b"\x1b=",
    ):
        assert mode in modes
    screen.feed(b"\x1b[!p")
    assert b"?25" not in screen.modes()
    assert b"\x1b=" not in screen.modes()
    screen.feed(b"\x1bc")
    assert screen.modes() == b""


def test_who_comes_in_the_midst_of_a_sequence_gets_it_whole() -> None:
    screen = fed(b"text\x1b[?10")
    assert screen.replay().endswith(b"text\x1b[?10")
    screen.feed(b"49h")
    assert screen.alternate


def test_what_is_kept_is_bounded() -> None:
    screen = Screen()
    for _ in range(1000):
        screen.feed(b"x" * 4000)  # and no newline at all
    assert len(screen.kept()) <= RING_BYTES
    assert len(screen.replay()) == REPLAY_BYTES
    screen.feed(b"\n" + b"y" * (REPLAY_BYTES - 100))
    assert screen.replay() == b"y" * (REPLAY_BYTES - 100)


@given(
    st.lists(
        st.sampled_from(
            [b"\x1b", b"[", b"?", b"10", b"49", b"h", b"l", b";", b"text", b"c", b"\x1b[?1049h"]
        )
    )
)
def test_cuts_do_not_matter(pieces: list[bytes]) -> None:
    whole, cut = fed(b"".join(pieces)), fed(*pieces)
    assert (whole.alternate, whole.on, whole.keypad) == (cut.alternate, cut.on, cut.keypad)
    assert whole.replay() == cut.replay()


def test_floods_are_quick() -> None:
    start = time.perf_counter()
    for piece in (b"\x1b", b"\x1b[?", b"\x1b[?1049h", b"\x1b[?1;", b"\x1bc", b"\x1b]x"):
        screen = Screen()
        for _ in range(8):
            screen.feed(piece * (65536 // len(piece)))
        screen.replay()
    assert time.perf_counter() - start < 20
