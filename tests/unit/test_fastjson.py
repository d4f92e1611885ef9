"""The JSON of the wire is Python's own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.wire import fastjson

TEXT = st.text(st.characters(codec=None, exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES)
def test_same_bytes_same_values(value: object) -> None:
    line = fastjson.dumps(value)
    assert line == json.dumps(value, separators=(",", ":"))
    assert fastjson.loads(line.encode()) == json.loads(line)


@given(st.binary() | st.text('[]{}:,\\"0aeEtrufalsn.- \n').map(str.encode))
def test_same_refusals(data: bytes) -> None:
    try:
        theirs = json.loads(data.decode("utf-8", "surrogatepass"))
    except ValueError:
        with pytest.raises(ValueError):
            fastjson.loads(data)
    else:
        assert repr(fastjson.loads(data)) == repr(theirs)  # NaN equals nothing


def test_depth_is_bounded() -> None:
    with pytest.raises(RecursionError):
        fastjson.loads(b"[" * 100_000)


def test_what_is_no_json() -> None:
    with pytest.raises(TypeError, match="bytes is not JSON"):
        fastjson.dumps({"a": b""})
