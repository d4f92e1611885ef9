"""Whatever they are fed, readers give what they promise or the error that they promise.

A slice of fixed seeds here; a million inputs each by `make soak`.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podsh.console.filter import Filter
from podsh.errors import PodshError, UntrustedInput, UsageError
from podsh.monitor import kage
from podsh.profiles import pod, toml
from podsh.wire.framing import DATA, JSON, Decoder, encode_data, encode_json
from tests.fuzz.mutate import inputs

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 100
SLICE = settings(max_examples=50, derandomize=True, deadline=None, database=None)

FRAMES = (
    encode_json({"hello": 1, "version": "0.1.0", "role": "client"}),
    encode_json({"id": 1, "op": "ps"}),
    encode_json({"op": "x" * 70_000}),
    encode_data(b"keys\r"),
    encode_data(b""),
    struct.pack("!IB", 3, JSON) + b"nul",
    struct.pack("!IB", 2, JSON) + b"[]",
    struct.pack("!IB", 1 << 30, DATA),
    struct.pack("!IB", 5, 7) + b"12345",
    b"\0\0\0\1",
    b'{"a":',
    b"\\ud800",
    b"[" * 2000,
    b"1e999",
    b"NaN",
)
TOML = tuple(
    word.encode()
    for word in (
        'name = "web"\n',
        'extends = ["base"]\n',
        "[[fs.bind]]\n",
        'path = "~/site"\n',
        "write = true\n",
        "[net]\n",
        'mode = "host"\n',
        "[run]\n",
        'cmd = ["sh", "-c"]\n',
        "env = { A = 'b' }\n",
        "[access]\n",
        'deny = ["~/.ssh*"]\n',
        "[limits]\n",
        "processes = 10\n",
        "[fs]\n",
        'home = "tmp"\n',
        "# comment\n",
        "[seccomp]\n",
        'allow = ["getpid"]\n',
        "=",
        "[",
        "]",
        "{",
        '"',
        "'",
        '"""',
        ",",
        ".",
        "1_0",
        "0x1f",
        "inf",
        "1979-05-27T07:32:00Z",
        "\\u0000",
        "\\U00110000",
        "$HOME",
        "{cwd}",
        "/..",
        "a.b.c = 1\n",
    )
)
POD = tuple(
    word.encode()
    for word in (
        "[bindto]\n",
        "/usr\n",
        "[seccomp-allow]\n",
        "open, read\n",
        "[options]\n",
        "share-net\n",
        "[run]\n",
        "bind /etc /etc\n",
        "home\n",
        "#",
        "\n",
        "[",
        "]",
        "x11\n",
        "limit-net: eth0\n",
        "stacksize: 10\n",
        "seccomp: strict\n",
        "root\n",
        "no-new-filters\n",
        "/a /b rw\n",
        "\t",
        ";",
        "=",
        ":",
        "\\",
        "\x00",
    )
)
OUTPUT = (
    b"text",
    b"\x1b[",
    b"\x1b]",
    b"\x1bP",
    b"\x1b_",
    b"\x1bX",
    b"\x1b\\",
    b"\x07",
    b"m",
    b"31",
    b";",
    b"?",
    b"2004h",
    b"52;c;aGk=",
    b"0;title",
    b"8;;http://x",
    b"6n",
    b"c",
    b"\x9b",
    b"\x9d",
    b"\xc2\x9b",
    b"\x90",
    b"\x18",
    b"\x1a",
    b"!p",
    b">4;2m",
    b"<u",
    b"=1u",
    b"$q",
    b"+q",
    b"4;1;rgb:0/0/0",
    b"\x05",
    b"\x0e",
    b"J",
)
KAGE = (
    b"i--",
    b"a--/x\0",
    b"aw-/etc\0",
    b"l--/\0",
    b"mwp/a\0/b\0",
    b"m--/a\0",
    b"/" * 4095,
    b"-",
    b"w",
    b"p",
)


def framing(data: bytes) -> None:
    decoder, halves = Decoder(), (data[: len(data) // 2], data[len(data) // 2 :])
    try:
        for half in halves:
            for kind, payload in decoder.feed(half):
                assert type(payload) is (bytes if kind == DATA else dict)
    except UntrustedInput:
        return
    assert decoder.pending <= len(data)


def profile(parse: Callable[[str, str], object]) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        error = None
        try:
            parse(data.decode("utf-8", "surrogateescape"), "fuzz")
        except UsageError as exc:
            error = exc
        assert error is None or str(error.place).startswith("fuzz"), error

    return read


def terminal(data: bytes) -> None:
    """Cut anywhere it is the same, valid, and filtered already: nothing in it is left out again."""
    whole, halves = Filter(), Filter()
    middle = len(data) // 2
    out = whole.feed(data)
    assert halves.feed(data[:middle]) + halves.feed(data[middle:]) == out
    out.decode()
    again = Filter()
    assert again.feed(out) == out
    for wrong in (b"\x1b]52", b"\x1b]0;", b"\x1b]4;", b"\x05", b"\xc2\x9b", b"\x1bP", b"\x1b_"):
        assert wrong not in out


def request(data: bytes) -> None:
    try:
        found = kage.parse(data)
    except PodshError:
        return
    assert all(path.startswith("/") and "\0" not in path for path in found.paths)


READERS = {
    "framing": (framing, FRAMES),
    "toml": (profile(toml.parse), TOML),
    "pod": (profile(pod.parse), POD),
    "filter": (terminal, OUTPUT),
    "kage": (request, KAGE),
}


def fuzz(name: str, seed: int) -> None:
    read, words = READERS[name]
    for data in inputs(seed, BATCH, words):
        try:
            read(data)
        except BaseException:
            print(f"{name}, seed {seed}: {data[:4000]!r}")
            raise


@pytest.mark.parametrize("name", READERS)
@SLICE
@given(seed=st.integers(0, 2**32))
def test_a_slice(name: str, seed: int) -> None:
    fuzz(name, seed)


@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_a_million(name: str) -> None:
    batches = 1_000_000 // BATCH
    first = int(os.environ.get("SEED", "1")) * batches
    for seed in range(first, first + batches):
        fuzz(name, seed)


def test_the_inputs_are_of_both_kinds() -> None:
    """Some are read, some are refused: a fuzzer that only meets the first check finds nothing."""
    for read, error, words in (
        (lambda data: Decoder().feed(data), UntrustedInput, FRAMES),
        (lambda data: toml.parse(data.decode(), "f"), UsageError, TOML),
        (lambda data: pod.parse(data.decode(), "f"), UsageError, POD),
        (kage.parse, UntrustedInput, KAGE),
    ):
        outcomes = {"read": 0, "refused": 0}
        for data in inputs(1, 500, words):
            try:
                read(data)
                outcomes["read"] += 1
            except (error, UnicodeDecodeError):
                outcomes["refused"] += 1
        assert min(outcomes.values()) > 5, (words[0], outcomes)


def test_the_seed_makes_them_again() -> None:
    assert list(inputs(7, 50, TOML)) == list(inputs(7, 50, TOML))
