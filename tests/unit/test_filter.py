"""The output filter: what passes, what does not, wherever it is cut, whatever comes."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.console.filter import ALTERNATE, MODES, Filter

# pieces from which hostile output is made: whole sequences, halves of some, and single bytes
PIECES = st.one_of(
    st.sampled_from(
        [
            *(
                bytes([b])
                for b in b"aB\n\r\x05\x07\x08\x0e\x18\x1a\x1b\x7f\x80\x9b\x9d\xc2\xe2\xff"
            ),
            *(bytes([b]) for b in b"[]PX^_k?>=<!0123456789;: $\"'#%()*+\\ABJKHcdhilmnpqrstu"),
            *(b"\x1b[", b"\x1b]", b"\x1b]52;c;", b"\x1b]8;;http://a", b"\x1b]11;?", b"\x1b\\"),
            *(
                b"\x1b[?1049h",
                b"\x1b[?1000;1034h",
                b"\x1b[2h",
                b"\x1b[3J",
                b"\x1b[>4;2m",
                b"\x1b[5n",
            ),
            *(b"\x1b[31m", b"\x1b[38;5;9m", b"\x1b[1;2H", b"\x1b[22;0t", b"\x1b[!p", b"\x1b[2 q"),
            *(b"\x1bP$q", b"\x1b]P1234567", b"\x1b]R", b"\x1b%@", b"\x1b(0", b"\x1bc", b"\x1b[>q"),
            *(b"\xc2\x9b", b"\xc2\x9d0;x\x07", "é日本".encode(), b"\x1b[" + b"1" * 140),
        ]
    ),
    st.binary(max_size=6),
)
STREAMS = st.lists(PIECES, max_size=40).map(b"".join)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"plain\r\n\ttext\x08\x07", b"plain\r\n\ttext\x08\x07"),
        (b"\x1b[01;34mdir\x1b[0m\x1b[K", b"\x1b[01;34mdir\x1b[0m\x1b[K"),
        (b"\x1b[38;2;1;2;3;48:5:7m", b"\x1b[38;2;1;2;3;48:5:7m"),
        (
            b"\x1b[?2004h\x1b[?25l\x1b[?1049h\x1b[?1h\x1b=",
            b"\x1b[?2004h\x1b[?25l\x1b[?1049h\x1b[?1h\x1b=",
        ),
        (b"\x1b(0lqk\x1b(B\x1b7\x1b8\x1bM", b"\x1b(0lqk\x1b(B\x1b7\x1b8\x1bM"),
        (
            b"\x1b[5n\x1b[6n\x1b[c\x1b[>c\x1b[>q\x1b[?2026$p",
            b"\x1b[5n\x1b[6n\x1b[c\x1b[>c\x1b[>q\x1b[?2026$p",
        ),
        (b"\x1b]11;?\x1b\\", b"\x1b]11;?\x1b\\"),
        (
            b"\x1b]8;id=1;https://a/b\x1b\\x\x1b]8;;\x07",
            b"\x1b]8;id=1;https://a/b\x1b\\x\x1b]8;;\x07",
        ),
        ("é日本語".encode(), "é日本語".encode()),
        # clipboard, titles, palette, working directory, notification
        (b"a\x1b]52;c;QUJD\x07b", b"ab"),
        (b"a\x1b]0;title\x07b\x1b]2;title\x07c\x1bktitle\x1b\\d", b"abc\x1b\\d"),
        (b"a\x1b]4;1;red\x07\x1b]11;red\x07\x1b]104\x07\x1b]7;file:///\x07\x1b]9;hi\x07b", b"ab"),
        (b"a\x1b]P1ff0000b\x1b]Rc", b"abc"),
        # DCS, APC, PM, SOS; one that never ends
        (b"a\x1bP$qm\x1b\\b\x1b_Gi=1\x1b\\c\x1b^x\x1b\\\x1bXx\x18d", b"a\x1b\\b\x1b\\c\x1b\\d"),
        (b"a\x1bPtmux;\x1b\x1b]52;c;QQ==\x07\x1b\\b", b"a\x1b\\b"),
        (b"a\x1bPnever ended \x07 \n text", b"a"),
        # windows, printing, locked keyboard, scrollback, columns, VT52, LEDs, reports
        (b"\x1b[22;0t\x1b[8;1;1t\x1b[5i\x1b[?5i\x1b[2h\x1b[3J\x1b[?3h\x1b[?2l\x1b[1q\x1b[21t", b""),
        (b"\x1b[?25;1034;1049hx", b"\x1b[?25;1049hx"),
        (b"\x1b[?001049lx", b"x"),
        # keyboards that would hide the attention key
        (b"\x1b[>1u\x1b[=5;1u\x1b[<u\x1b[?u\x1b[>4;2m\x1b[?4m\x1b[1;2u\x1b[u", b"\x1b[u"),
        # what terminals disagree about
        (b"\x1b[3\n1mx", b"\n1mx"),
        (b"\x1b[>\x0b1uZ", b"\x0b1uZ"),
        (b"\x1b\n[31mx", b"\n[31mx"),
        (b"\x1b[31\x18mx", b"\x18mx"),
        (b"\x1b[31\xc3\xa9m", "ém".encode()),
        (b"\x1b[31\x1b[32mx", b"\x1b[32mx"),
        (b"\x1b" * 50 + b"[32mx", b"\x1b[32mx"),
        (b'\x1b[1;2;3;4;5H\x1b[999999C\x1b[1$r\x1b[;"p\x1b%@\x1b G\x1b#9x', b"x"),
        # characters that are sequences, and bytes that are no characters
        (b"\xc2\x9b31m\xc2\x9d0;x\x07\xc2\x85", b"31m0;x\x07"),
        (b"\x9b31m\xff", "\ufffd31m\ufffd".encode()),
        (b"\xc2\x1b[7h\x9b", "\ufffd\ufffd".encode()),
        (b"a\x05b", b"ab"),
        # links to what is no page
        (b"\x1b]8;;javascript:x\x07a\x1b]8;;http://a b\x07b\x1b]8;;http://\xc3\xa9\x07c", b"abc"),
    ],
)
def test_what_passes(written: bytes, shown: bytes) -> None:
    assert Filter().feed(written) == shown
    for at in range(len(written)):
        cut = Filter()
        assert cut.feed(written[:at]) + cut.feed(written[at:]) == shown
    cut = Filter()
    assert b"".join(cut.feed(bytes([byte])) for byte in written) == shown


@pytest.mark.parametrize(
    "question",
    [
        b"\x1b[c",
        b"\x1b[0c",
        b"\x1b[>c",
        b"\x1b[=c",
        b"\x1b[5n",
        b"\x1b[6n",
        b"\x1b[?6n",
        b"\x1b[>0q",
        b"\x1b[?25$p",
        b"\x1b]10;?\x07",
        b"\x1bZ",
        b"\x05",
        b"\x1bP+q544e\x1b\\",
        b"\x1b[x",
        b"\x1b[18t",
    ],
)
def test_without_questions(question: bytes) -> None:
    shown = Filter(queries=False).feed(b"a" + question + b"b")
    assert shown.replace(b"\x1b\\", b"") == b"ab"


def test_it_counts_what_the_fence_counts_on() -> None:
    counted = Filter()
    counted.feed(b"\x1b[5n\x1b[05n\x1b[5;5n\x1b]0;\x1b[5nx\x07\x1b[?5n\x1b[5")
    counted.feed(b"n\x1bP\x1b[5n")
    # one of the OSC and one of the DCS: ESC ends these
    assert counted.asked == 4
    assert counted.feed(b"") == b""


@given(STREAMS, st.lists(st.integers(0, 60), max_size=12))
def test_cuts_do_not_matter(stream: bytes, sizes: list[int]) -> None:
    whole, cut = Filter(), Filter()
    pieces, at = [], 0
    for size in sizes:
        pieces.append(cut.feed(stream[at : at + size]))
        at += size
    pieces.append(cut.feed(stream[at:]))
    assert b"".join(pieces) == whole.feed(stream)
    assert cut.asked == whole.asked


@given(STREAMS)
def test_nothing_else_comes_out(stream: bytes) -> None:
    check(Filter().feed(stream))
    quiet = Filter(queries=False)
    for _ in range(2):
        shown = quiet.feed(stream)
    check(shown)
    assert not re.search(rb"\x1b\[[>=]?0?c|\x1b\[\??[0-9]n|\$p|\x1b\]1|\x1b\[>", shown)
    assert quiet.asked == 0


@given(STREAMS)
def test_what_came_out_passes(stream: bytes) -> None:
    shown = Filter().feed(stream)
    assert Filter().feed(shown) == shown


@given(
    st.lists(
        st.sampled_from([b"\x1b]8;;http://", b"\x1b[1", b"1;" * 99, b"x" * 999, b"\x1b]", b"\x1bP"])
    )
)
def test_it_holds_little_back(pieces: list[bytes]) -> None:
    held = Filter()
    for piece in pieces * 9:
        held.feed(piece)
        assert len(held._carry) < 2048


def test_floods_do_not_take_for_ever() -> None:
    """Not quadratic, whatever comes; 32 KiB are dealt with between two looks at the keyboard."""
    start = time.perf_counter()
    for piece in (
        b"\x1b",
        b"\x1b[",
        b"\x1b]8;",
        b"\x1b]",
        b"\x1b[?1034h",
        b"\x1b[?1",
        b"\xc2",
        b"\x1bP",
    ):
        flooded = Filter()
        for _ in range(4):
            flooded.feed(piece * (32768 // len(piece)))
    assert time.perf_counter() - start < 20


# ---------------------------------------------------------------- a terminal of the test's own

ESCAPES = {*"78=>DEHM\\c", *(a + b for a in "()*+" for b in "AB012U"), *("#" + d for d in "34568")}
# final byte -> how many numbers it takes at most
FINALS = dict.fromkeys("@ABCDEFGHIKLMPSTXZ`abdefgrs", 2) | {"J": 1, "u": 0}


def check(shown: bytes) -> None:
    """Parse as ECMA-48 says, and fail on whatever is not known to be harmless."""
    text = shown.decode()  # valid UTF-8, or it raises
    assert not re.search("[\x80-\x9f\x05]", text)
    at = 0
    while (at := text.find("\x1b", at)) >= 0:
        rest = text[at + 1 :]
        if rest[:1] == "[":
            found = re.match(r"\[([<=>?]?)([0-9:;]*)([ -/]*)([@-~])", rest)
            if found is None:
                # only at the end: what follows would be taken for its rest
                raise AssertionError(f"no control sequence: {rest[:20]!r}")
            control(*found.groups())
            at += 1 + found.end()
        elif rest[:1] == "]":
            found = re.match(r"\](8;[!-~]*;([!-~]*)|1[0-2];\?)(\x07|\x1b\\)", rest)
            assert found is not None, rest[:20]
            link = found[2]
            assert not link or link.split(":")[0] in ("http", "https", "ftp", "file", "mailto")
            at += 1 + found.end()
        else:
            found = re.match("[ -/]*[0-~]", rest)
            assert found is not None, rest[:20]
            assert found[0] in ESCAPES
            at += 1 + found.end()


def control(marker: str, numbers: str, between: str, final: str) -> None:
    which = marker + between + final
    if which == "m":
        return
    assert ":" not in numbers
    given = [int(number) for number in numbers.split(";") if number]
    assert all(number < 100000 for number in given)
    if which in FINALS:
        assert len(given) <= FINALS[which]
        assert which != "J" or given in ([], [0], [1], [2])
    elif which in ("h", "l"):
        assert given == [4]
    elif which in ("?h", "?l"):
        assert set(given) <= MODES | ALTERNATE
    elif which == "n":
        assert given in ([5], [6])
    else:
        assert which in ("c", ">c", "=c", ">q", "?n", "?$p", "?J", "?K", "!p", " q")
