"""A pod's output on podsh's screens, and the attention key in what is typed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.console import keys, screen

CLEAR = screen.CLEAR
SEQUENCES = st.lists(
    st.sampled_from(
        [
            *(bytes([b]) for b in b"ab\n\r\x1b[]?0123456789;:hlcrsmu\x07\x18\x9b\x9d\xc2\xff\x1d"),
            b"\x1b[?1049h",
            b"\x1b[?1049l",
            b"\x1b[?47h",
            b"\x1bc",
            b"text",
        ]
    ),
    max_size=40,
).map(b"".join)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain \x1b[31mred\x1b[0m\n", b"plain \x1b[31mred\x1b[0m\n"),
        (b"a\x1b[?1049hb", b"a" + CLEAR + b"b"),
        (b"a\x1b[?47hb\x1b[?47lc", b"a" + CLEAR + b"b" + CLEAR + b"a" + b"c"),
        (b"\x1b[?1047;25hx", b"\x1b[?25h" + CLEAR + b"x"),
        (b"\x1b[?25hx", b"\x1b[?25hx"),
        (b"\x1b[?01049hx", CLEAR + b"x"),
        (b"\x1b[?10\n49hx", CLEAR + b"x"),
        (b"\x1b\n[\r?1049hx", CLEAR + b"x"),
        (b"\x1b[?1049rx\x1b[?1049sy", b"xy"),
        (b"\xc2\x9b?1049hx", b"?1049hx"),
        (b"a\x1bcb", b"a" + screen.RESET + CLEAR + b"b"),
        (b"\x1b(cx", b"\x1b(cx"),
        ("é".encode(), "é".encode()),
    ],
)
def test_a_guest_stays_on_our_screen(data: bytes, shown: bytes) -> None:
    assert screen.Guest().feed(data) == shown
    # cut anywhere, nothing else comes out
    for at in range(len(data)):
        guest = screen.Guest()
        assert guest.feed(data[:at]) + guest.feed(data[at:]) == shown
    guest = screen.Guest()
    assert b"".join(guest.feed(bytes([b])) for b in data) == shown


@given(st.lists(SEQUENCES, max_size=5))
def test_no_guest_switches_screens(chunks: list[bytes]) -> None:
    guest = screen.Guest()
    shown = b"".join(guest.feed(chunk) for chunk in chunks)
    for found in screen._SWITCH.finditer(shown):
        assert found[0] not in (b"\x1bc", b"\xc2\x9b")
        assert not screen._numbers(found) & screen._ALTERNATE


def test_the_normal_screen_comes_back() -> None:
    guest = screen.Guest()
    guest.feed(b"shell$ vim\r\n\x1b[?1049h~\r\n~\r\n")
    assert guest.alternate
    assert guest.again() == b""
    assert guest.feed(b"\x1b[?1049l") == CLEAR + b"shell$ vim\r\n"
    assert guest.again() == b"shell$ vim\r\n"


def test_flipping_screens_does_not_multiply_output() -> None:
    guest = screen.Guest()
    guest.feed(b"x" * screen.RING_BYTES)
    shown = guest.feed(b"\x1b[?47h\x1b[?47l" * 1000)
    assert len(shown) < 3 * screen.RING_BYTES + 2000 * len(CLEAR)
    assert shown.endswith(b"x" * screen.RING_BYTES)


def test_the_ring_is_bounded() -> None:
    guest = screen.Guest()
    for _ in range(100):
        guest.feed(b"x" * 5000)
    assert len(guest.ring) <= 2 * screen.RING_BYTES
    assert len(guest.again()) == screen.RING_BYTES


@pytest.mark.parametrize(
    ("data", "dirty", "alternate"),
    [
        (b"ls output\r\n", False, False),
        (b"\x1b[01;34mdir\x1b[0m\x1b[K\r\n", False, False),
        (b"\x1b[?2004h$ ", True, False),
        (b"\x1b[?1049h", True, True),
        (b"\x1b[?1049h\x1b[?1049l", True, False),
        (b"\x0eqqq", True, False),
        (b"\x1b]0;t\x07", True, False),
    ],
)
def test_plain_notes_what_needs_a_reset(data: bytes, dirty: bool, alternate: bool) -> None:
    plain = screen.Plain()
    assert plain.feed(data) == data
    assert (plain.dirty, plain.alternate) == (dirty, alternate)
    cut = screen.Plain()
    for byte in data:
        cut.feed(bytes([byte]))
    assert cut.alternate == alternate
    assert cut.dirty or not dirty


@pytest.mark.parametrize(
    ("typed", "before"),
    [
        (b"\x1d", b""),
        (b"ab\x1dcd", b"ab"),
        (b"\x1b[93;5u", b""),
        (b"x\x1b[93;133u", b"x"),
        (b"\x1b[93;69u", b""),
        (b"\x1b[93:125;5:1u", b""),
        (b"\x1b[93;5:2u", b""),
        (b"\x1b[27;5;93~", b""),
        (b"\x1b[A\x1b[93;5u\x1d", b"\x1b[A"),
    ],
)
def test_the_attention_key_in_every_encoding(typed: bytes, before: bytes) -> None:
    assert keys.Attention().feed(typed) == (before, True)
    cut = keys.Attention()
    assert any(cut.feed(bytes([byte]))[1] for byte in typed)


@pytest.mark.parametrize(
    "typed", [b"x", b"\x1b[93;5:3u", b"\x1b[93;1u", b"\x1b[93;6u", b"\x1b[125;5u", b"\x1b[27;6;93~"]
)
def test_other_keys_pass(typed: bytes) -> None:
    assert keys.Attention().feed(typed) == (typed, False)


@given(st.lists(st.binary(max_size=10), max_size=6))
def test_keys_pass_once_and_in_order(chunks: list[bytes]) -> None:
    scanner = keys.Attention()
    passed = b""
    for chunk in chunks:
        before, found = scanner.feed(chunk)
        passed += before
        if found:
            break
    whole = b"".join(chunks)
    assert whole.startswith(passed)
    assert b"\x1d" not in passed


def test_feeding_is_fast_enough_for_a_flood() -> None:
    """Hostile input must not make a regular expression go quadratic."""
    pieces = (b"\x1b[", b"\x1b[?1", b"\x1b[?" + b"1" * 9999, b"\x1b[" + b"1:;" * 9999, b"\xc2")
    pieces += (b"\x1b" + b"\n" * 9999, b"\x1b[1;1;" + b"1" * 9999, b"\x1b[?1049h")
    start = time.perf_counter()
    for piece in pieces:
        flood = piece * (65536 // len(piece))
        screen.Guest().feed(flood)
        screen.Plain().feed(flood)
        keys.Attention().feed(flood)
    assert time.perf_counter() - start < 5
