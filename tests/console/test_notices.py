"""Requests told to who is attached: a bell, and the title; nothing of the program's is cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.console import screen
from podsh.console.screen import Boundary
from tests.console.person import Person

if TYPE_CHECKING:
    from tests.console.portal import Portal

EXIT = {"ev": "exit", "code": 0, "signal": None}
ONE = rb"\x1b\]2;\[1 waiting\] web - podsh\x1b\\"
TWO = rb"\x1b\]2;\[2 waiting\] web - podsh\x1b\\"


def test_a_bell_and_the_title(portal: Portal) -> None:
    with Person(alternate=True, name="web", notices=True) as p:
        p.send({"ev": "attached"}, b"$ ")
        p.sees(rb"\$ ")
        portal.ask(7)
        p.sees(rb"\a" + ONE)
        portal.ask(8)
        p.sees(TWO)
        portal.decide(7, "denied")
        portal.event(ev="denial", id=7, path="/x", mode="read")
        p.sees(TWO + rb".*" + ONE)
        portal.event(ev="exit", code=0)  # the pod's end is its requests' end
        p.sees(rb"\x1b\]2;web - podsh\x1b\\.*\x1b\]2;web - podsh\x1b\\")
        p.send(EXIT)
        p.outcome()
        assert p.screen.count(b"\a") == 1  # not more than one in a second
        assert p.screen.count(screen.SAVE_TITLE) == p.screen.count(screen.RESTORE_TITLE) == 1


def test_on_the_persons_own_screen_the_title_is_put_back(portal: Portal) -> None:
    portal.ask(5)
    with Person(name="web", notices=True) as p:
        p.send({"ev": "started", "pid": 1}, b"$ ")
        p.sees(re.escape(screen.SAVE_TITLE) + ONE + rb".*\$ ")
        assert b"\a" not in p.screen  # it is not new
        p.send(EXIT)
        p.outcome()
        assert p.screen.endswith(b"\x18" + screen.RESTORE_TITLE)


def test_a_terminal_without_titles_gets_the_bell(portal: Portal) -> None:
    with Person(name="web", notices=False) as p:
        p.send({"ev": "started", "pid": 1}, b"$ ")
        p.sees(rb"\$ ")
        portal.ask(7)
        p.sees(rb"\a")
        p.send(EXIT)
        p.outcome()
        assert p.screen == b"$ \a"


@pytest.mark.parametrize(
    ("begin", "end"), [(b"\x1b[3", b"1mred"), (b"\x1b]0;ti", b"tle\x07x"), (b"\xe6\x97", b"\xa5")]
)
def test_a_sequence_of_the_programs_is_not_cut(portal: Portal, begin: bytes, end: bytes) -> None:
    with Person(alternate=True, name="web", notices=True, filtered=False) as p:
        p.send({"ev": "attached"}, b"$ " + begin)
        p.sees(rb"\$ ")
        portal.ask(7)
        for _ in range(3):
            p.pump()
        p.send(end)
        p.sees(re.escape(begin + end))
        p.sees(rb"\[1 waiting\]")
        p.send(EXIT)
        p.outcome()


def test_a_sequence_without_end_does_not_hide_requests(portal: Portal) -> None:
    with Person(alternate=True, name="web", notices=True, filtered=False) as p:
        p.send({"ev": "attached"}, b"$ \x1bPnever ended ")
        p.sees(rb"never ended ")
        portal.ask(7)
        p.sees(rb"never ended \x18\a" + ONE)
        p.send(EXIT)
        p.outcome()


def test_a_portal_that_goes_away_is_survived(portal: Portal) -> None:
    with Person(alternate=True, name="web", notices=True) as p:
        p.send({"ev": "attached"}, b"$ ")
        p.sees(rb"\$ ")
        portal.__exit__()
        for _ in range(5):
            p.pump()
        p.type(b"ls")
        p.typed(b"ls")
        p.send(b"still here", EXIT)
        assert p.outcome()["reason"] == "exit"
        assert b"still here" in p.screen


@pytest.mark.parametrize(
    ("data", "is_open"),
    [
        (b"", False),
        (b"text", False),
        (b"\x1b", True),
        (b"\x1b[", True),
        (b"\x1b[31", True),
        (b"\x1b[31m", False),
        (b"\x1b(", True),
        (b"\x1b(B", False),
        (b"\x1b]0;x", True),
        (b"\x1b]0;x\x07", False),
        (b"\x1b]0;x\x1b", True),
        (b"\x1b]0;x\x1b\\", False),
        (b"\x1bP" + b"x" * 5000, True),
        (b"\x1bP" + b"x" * 5000 + b"\x18", False),
        ("日".encode()[:2], True),
        ("日".encode(), False),
        (b"\xff", True),
        (b"a\x80", False),
    ],
)
def test_where_sequences_end(data: bytes, is_open: bool) -> None:
    whole, pieces = Boundary(), Boundary()
    whole.feed(data)
    for at in range(len(data)):
        pieces.feed(data[at : at + 1])
    assert whole.open == is_open
    if data != b"\xff":
        assert pieces.open == is_open or data.startswith("日".encode()[:2])


@given(st.binary(), st.lists(st.integers(0, 20)))
def test_the_cut_of_pieces_does_not_matter_for_sequences(data: bytes, cuts: list[int]) -> None:
    data = bytes(byte & 0x7F for byte in data)
    whole, pieces = Boundary(), Boundary()
    whole.feed(data)
    at = 0
    for size in cuts:
        pieces.feed(data[at : at + size])
        at += size
    pieces.feed(data[at:])
    if data[at:]:
        assert whole.open == pieces.open
