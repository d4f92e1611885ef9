"""Framing: whatever is sent comes out, however it is cut; garbage is refused."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.errors import UntrustedInput
from podsh.wire.framing import DATA, JSON, MAX_JSON_BYTES, Decoder, encode_data, encode_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FRAMES = st.one_of(
    st.tuples(st.just(JSON), st.dictionaries(st.text(), VALUES, max_size=4)),
    st.tuples(st.just(DATA), st.binary(max_size=300)),
)


@given(frames=st.lists(FRAMES, max_size=6), cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_any_cut_gives_the_same_frames(frames: list[tuple[int, object]], cuts: list[int]) -> None:
    stream = b"".join(
        encode_json(value) if kind == JSON else encode_data(value)  # type: ignore[arg-type]
        for kind, value in frames
    )
    decoder = Decoder()
    found = []
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        found += decoder.feed(stream[start:end])
    assert found == frames
    assert decoder.pending == 0


def test_paths_that_are_not_utf8_survive() -> None:
    path = b"/tmp/\xff\xfe".decode("utf-8", "surrogateescape")
    [(_, message)] = Decoder().feed(encode_json({"path": path}))
    assert message["path"].encode("utf-8", "surrogateescape") == b"/tmp/\xff\xfe"


def test_a_partial_frame_is_pending() -> None:
    decoder = Decoder()
    assert decoder.feed(encode_data(b"four")[:-1]) == []
    assert decoder.pending


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!IB", 1, 7) + b"x",
        struct.pack("!IB", MAX_JSON_BYTES + 1, JSON),
        struct.pack("!IB", 0xFFFFFFFF, DATA),
        struct.pack("!IB", 2, JSON) + b"[]",
        struct.pack("!IB", 2, JSON) + b"{,",
        struct.pack("!IB", 2, JSON) + b"\xff\xff",
        struct.pack("!IB", 100000, JSON) + b"[" * 100000,
    ],
    ids=["kind", "long json", "long data", "list", "syntax", "utf-8", "deep"],
)
def test_garbage_is_the_peers_fault(data: bytes) -> None:
    with pytest.raises(UntrustedInput):
        Decoder().feed(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_that_error(data: bytes) -> None:
    try:
        for kind, payload in Decoder().feed(data):
            assert isinstance(payload, dict if kind == JSON else bytes)
    except UntrustedInput:
        pass
