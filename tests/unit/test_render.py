"""Hostile strings, tables, wrapping, output as text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.console import render


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/u/proj/a.c", "/home/u/proj/a.c"),
        ("/tmp/a b", '"/tmp/a b"'),
        ("", '""'),
        ('C:\\x"y', '"C:\\\\x\\"y"'),
        (b"/tmp/\xff\xfe", '"/tmp/\\xff\\xfe"'),
        ("/tmp/x\x1b[2J\r\n", '"/tmp/x\\e[2J\\r\\n"'),
        ("/h/\u202egnp.exe", '"/h/\\u202egnp.exe"'),
        ("/tmp/a\u200bb", '"/tmp/a\\u200bb"'),
        ("/x\u3164y", '"/x\\u3164y"'),
        ("/tmp/日本語/é", "/tmp/日本語/é"),
        ("\U000e0041", '"\\U000e0041"'),
        ("/tmp/\x9b31m", '"/tmp/\\x9b31m"'),
    ],
)
def test_show(value: str | bytes, shown: str) -> None:
    assert render.show(value) == shown


@given(st.text() | st.binary())
def test_nothing_shown_moves_a_cursor(value: str | bytes) -> None:
    for shown in (render.show(value), render.show(value, 20)):
        assert "\n" not in shown
        for char in shown:
            assert unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
            assert unicodedata.bidirectional(char) not in ("R", "AL", "AN", "RLO", "RLE", "RLI")


@given(st.text())
def test_sentences_are_safe_too(text: str) -> None:
    shown = render.show_text(text)
    assert all(unicodedata.category(c)[0] != "C" for c in shown)
    assert render.show_text(shown) == shown or "\\" in shown


def test_the_middle_is_elided_not_the_name() -> None:
    shown = render.show("/" + "A" * 5000 + "/id_rsa", 40)
    assert shown.endswith("/id_rsa")
    assert "more>" in shown
    assert len(shown) < 60


def test_a_command_line_is_cut_at_its_end() -> None:
    assert render.show_argv(["sh", "-c", "a b"]) == 'sh -c "a b"'
    cut = render.show_argv(["x"] * 100, 20)
    assert len(cut) == 20
    assert cut.endswith("…")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (61, "1m"),
        (11100, "3h05"),
        (9 * 86400, "9d"),
        (-1, "0s"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert render.age(seconds) == text


def test_table_knows_wide_letters() -> None:
    lines = render.table(["NAME", "STATE"], [["日本", "running"], ["web", "exit 2"]])
    assert lines == ["NAME  STATE", "日本  running", "web   exit 2"]


@given(st.text(), st.integers(2, 40))
def test_wrapping_leaves_nothing_out(text: str, width: int) -> None:
    shown = render.show(text)
    lines = render.wrapped(shown, width)
    assert "".join(lines) == shown
    assert all(render.cells(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (72, "1:12"), (3599, "59:59"), (3600 + 62, "1:01:02")]
)
def test_clock(seconds: float, text: str) -> None:
    assert render.clock(seconds) == text


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07done", ["red done"]),
        (b"\x1b]0;unfinished", []),
        (b"10%\r20%\r100%\n", ["100%"]),
        (b"b\bbo\bol\bld\n", ["bold"]),
        (b"a\tb", ["a       b"]),
        (b"\xff\x1b(Bx\n\n", ["\\xffx", ""]),
        (b"", []),
    ],
)
def test_output_as_text(data: bytes, lines: list[str]) -> None:
    assert render.plain_lines(data) == lines


@given(st.binary())
def test_output_as_text_is_safe(data: bytes) -> None:
    for text in render.plain_lines(data):
        assert all(unicodedata.category(c)[0] != "C" for c in text)


def test_a_domains_name_is_shown_with_its_own_sign_and_nothing_elses() -> None:
    assert render.show_domain("A∩B∩2 more") == "A∩B∩2 more"
    assert render.show_domain("A∩no more") == 'A∩"no more"'
    assert "\x1b" not in render.show_domain("A\x1b[2J∩B")
