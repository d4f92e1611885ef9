"""Keys by name, and which one is the attention key."""

from __future__ import annotations

import pytest

from podsh.commands.send import unescaped
from podsh.console.keynames import NAMES, encoded
from podsh.console.keys import ATTENTION, Answers, Attention, attention, key_name
from podsh.errors import UsageError


@pytest.mark.parametrize(
    ("name", "sent", "moved"),
    [
        ("Enter", b"\r", None),
        ("x", b"x", None),
        ("é", "é".encode(), None),
        ("C-]", b"\x1d", None),
        ("C-c", b"\x03", None),
        ("C-Space", b"\0", None),
        ("C-?", b"\x7f", None),
        ("M-x", b"\x1bx", None),
        ("C-M-a", b"\x1b\x01", None),
        ("-", b"-", None),
        ("C--", b"", None),
        ("Up", b"\x1b[A", b"\x1bOA"),
        ("home", b"\x1b[H", b"\x1bOH"),
        ("C-Left", b"\x1b[1;5D", None),
        ("S-M-Up", b"\x1b[1;4A", None),
        ("F1", b"\x1bOP", None),
        ("S-F1", b"\x1b[1;2P", None),
        ("F12", b"\x1b[24~", None),
        ("C-PgUp", b"\x1b[5;5~", None),
        ("DC", b"\x1b[3~", None),
        ("S-Tab", b"\x1b[Z", None),
    ],
)
def test_what_a_key_sends(name: str, sent: bytes, moved: bytes | None) -> None:
    if not sent:
        with pytest.raises(UsageError):
            encoded(name)
        return
    assert encoded(name) == (sent, moved or sent)


def test_every_name_that_is_offered_is_a_key() -> None:
    assert all(encoded(name)[0] for name in NAMES)
    with pytest.raises(UsageError, match="did you mean Enter"):
        encoded("Entr")


@pytest.mark.parametrize(
    ("text", "code"), [("C-]", 0x1D), ("C-a", 1), ("c-A", 1), ("^\\", 0x1C), ("C-_", 0x1F)]
)
def test_the_attention_key_is_a_setting(text: str, code: int) -> None:
    assert attention({"PODSH_ATTENTION": text}) == code
    assert attention({"PODSH_ATTENTION": key_name(code)}) == code


@pytest.mark.parametrize("text", ["x", "C-m", "C-i", "C-[", "C-5", "C-", "F1", "C-aa", "C-é"])
def test_what_cannot_be_the_attention_key(text: str) -> None:
    with pytest.raises(UsageError):
        attention({"PODSH_ATTENTION": text})


def test_the_environment_names_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODSH_ATTENTION", raising=False)
    assert attention({}) == ATTENTION
    monkeypatch.setenv("PODSH_ATTENTION", "C-t")
    assert attention({}) == 0x14
    assert attention({"PODSH_ATTENTION": "C-]"}) == ATTENTION


@pytest.mark.parametrize("typed", [b"\x14", b"\x1b[116;5u", b"\x1b[27;5;116~", b"\x1b[116;197u"])
def test_another_key_in_every_encoding(typed: bytes) -> None:
    assert Attention(0x14).feed(b"a" + typed) == (b"a", True)
    assert Attention(0x14).feed(b"\x1d") == (b"\x1d", False)


@pytest.mark.parametrize("cut", range(1, 12))
def test_answers_are_counted_across_cuts(cut: int) -> None:
    answers = Answers()
    typed = b"ab\x1b[0n\x1b[0n\x1b[1;1Rx\x1b[0n\x1b[0"
    for at in range(0, len(typed), cut):
        answers.feed(typed[at : at + cut])
    assert answers.count == 3


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("plain", "plain"),
        (r"q\n", "q\r"),
        (r"a\tb\e[A\\n", "a\tb\x1b[A\\n"),
        (r"\x03\xff", "\x03\udcff"),
        ("\\\\\\\\", "\\\\"),
        ("", ""),
    ],
)
def test_escapes_of_text(text: str, typed: str) -> None:
    assert unescaped(text) == typed


@pytest.mark.parametrize("text", ["a\\", "\\q", "\\x1", "\\\\\\"])
def test_escapes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        unescaped(text)
