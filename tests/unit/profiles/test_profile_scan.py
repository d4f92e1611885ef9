"""The line of each key, against tomllib's view of the same document."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from podsh.errors import UsageError
from podsh.profiles.scan import MAX_DEPTH, MAX_ENTRIES, MAX_PARTS, MAX_WORD, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = '''\
name = "x" # comment = 1
text = """
key = "inside a string"
[not.a.header]
"""
extends = [
  "a", # first
  'b',
]
"quoted key" = 1
[[fs.bind]]
path = "/a"
  write=true

[[ fs . bind ]]
path = \'\'\'
/b\'\'\'
flags = { x = 1, y = { z = [1, 2,
3] } }
dotted.key.deep = 1.5
[run] # [fake]
cmd = ["[x]", "# no comment"]
[fs.bind.sub]
late = 1
'''

EXPECTED = {
    ("name",): 1,
    ("text",): 2,
    ("extends",): 6,
    ("extends", 0): 7,
    ("extends", 1): 8,
    ("quoted key",): 10,
    ("fs", "bind", 0): 11,
    ("fs", "bind", 0, "path"): 12,
    ("fs", "bind", 0, "write"): 13,
    ("fs", "bind", 1): 15,
    ("fs", "bind", 1, "path"): 16,
    ("fs", "bind", 1, "flags"): 18,
    ("fs", "bind", 1, "flags", "x"): 18,
    ("fs", "bind", 1, "flags", "y", "z", 1): 18,
    ("fs", "bind", 1, "flags", "y", "z", 2): 19,
    ("fs", "bind", 1, "dotted", "key", "deep"): 20,
    ("fs", "bind", 1, "dotted"): 20,
    ("fs",): 11,
    ("run",): 21,
    ("run", "cmd"): 22,
    ("run", "cmd", 1): 22,
    ("fs", "bind", 1, "sub"): 23,
    ("fs", "bind", 1, "sub", "late"): 24,
}


@pytest.mark.parametrize("key", EXPECTED, ids=str)
def test_lines(key: tuple[str | int, ...]) -> None:
    tomllib.loads(DOCUMENT)
    assert scan(DOCUMENT, "f").at(*key) == EXPECTED[key]


def test_crlf_changes_no_line() -> None:
    lines = scan(DOCUMENT.replace("\n", "\r\n"), "f")
    assert [lines.at(*key) for key in EXPECTED] == list(EXPECTED.values())


def test_unknown_key_gives_what_holds_it() -> None:
    lines = scan(DOCUMENT, "f")
    assert lines.at("fs", "bind", 1, "nothing") == 15
    assert lines.at("nothing") == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a=1\n" + "x." * MAX_PARTS + "x=1", 2),
        ("[" + "x." * MAX_PARTS + "x]", 1),
        ("a = {" + "'x'." * MAX_PARTS + "x=1}", 1),
        ("\n\na = " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), 3),
        ("a = " + "{a=" * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), 1),
        ("a = [" + "1,\n" * (MAX_ENTRIES + 1) + "]", MAX_ENTRIES),
        ("a = " + "9" * (MAX_WORD + 1), 1),
    ],
    ids=["key", "header", "inline key", "arrays", "tables", "entries", "number"],
)
def test_limits(text: str, line: int) -> None:
    with pytest.raises(UsageError) as caught:
        scan(text, "f")
    assert caught.value.place == f"f:{line}"


def test_just_below_the_limits() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    scan(f"{'x.' * (MAX_PARTS - 1)}x=1\na = {deep}\nb = {'9' * MAX_WORD}", "f")


_KEYS = st.text("abcxyz-_ .\"#=[]'é", min_size=1, max_size=6)
_TEXT = st.text("ab \"'\n\\#[]{}=,.é\U0001f600", max_size=12)
_SCALARS = st.one_of(st.booleans(), st.integers(-9, 9), _TEXT, st.sampled_from([0.5, 1e9]))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))


@settings(database=None, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_each_key_has_the_line_that_names_it(data: dict[str, Any]) -> None:
    text = tomlkit.dumps(data)
    lines = scan(text, "f")
    written = text.split("\n")
    for path in _paths(tomllib.loads(text)):
        key = path[-1]
        if isinstance(key, int) or '"' in key or "\\" in key:  # no name, or escaped
            continue
        assert key in written[lines.at(*path) - 1], (text, path)


_PIECES = st.sampled_from(
    ["[", "]", "{", "}", "=", ",", ".", "\n", '"', "'", '"""', "'''", "\\", "#", "a", "1", " ", "é"]
)


@settings(database=None, deadline=None)
@given(st.lists(_PIECES, max_size=60).map("".join))
def test_any_text_is_scanned(text: str) -> None:
    try:
        scan(text, "f")
    except UsageError as exc:
        assert exc.place.startswith("f:")  # noqa: PT017 - both outcomes are fine, no other is
