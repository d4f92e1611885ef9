"""Files made to hurt: one short error each, within a second and little memory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from podsh.errors import UsageError
from podsh.profiles import pod, toml
from podsh.profiles.find import Library
from podsh.profiles.read import MAX_BYTES, read
from podsh.profiles.schema import Context

if TYPE_CHECKING:
    from tests.helpers.profiles import Ground

ROOT = Path(__file__).resolve().parents[3]
MIB = 1 << 20

# texts by the Python expression that makes them
TOML = {
    "20,000-part key": "'a.' * 20_000 + 'a = 1'",
    "many long keys": "''.join(f'{\"a\" * 3}{i}.b.c.d.e.f.g.h = 1\\n' for i in range(40_000))",
    "quoted parts": "'\"a\".' * 20_000 + 'a = 1'",
    "long header": "'[' + 'a.' * 20_000 + 'a]'",
    "deep arrays": "'a = ' + '[' * 300_000",
    "deep closed arrays": "'a = ' + '[' * 100_000 + ']' * 100_000",
    "deep tables": "'a = ' + '{a=' * 200_000",
    "many headers": "''.join(f'[a{i}.b.c.d.e.f.g]\\n' for i in range(40_000))",
    "many tables": "'[[fs.bind]]\\n' * 80_000",
    "many integers": "'a = [' + '1,' * 500_000 + ']'",
    "many inline tables": "'a = [' + '{a=1},' * 150_000 + ']'",
    "long number": "'a = ' + '9' * 1_000_000",
    "long float": "'a = 1.' + '9' * 1_000_000",
    "underscores": "'a = ' + '1_' * 500_000 + '1'",
    "unclosed string": "'a = \"' + 'x' * 1_000_000",
    "unclosed long string": "'a = \"\"\"' + 'x\\n' * 500_000",
    "quotes": "'\"' * 1_000_000",
    "escaped quotes": '\'"""\' + chr(92) + \'"""\\n\' * 100_000',
    "triple quotes": "\"'''x\" * 250_000",
    "backslashes": "'a = \"' + chr(92) * 1_000_000",
    "escapes": "'a = \"' + (chr(92) + 'n') * 500_000 + '\"'",
    "equal signs": "'= ' * 500_000",
    "long unknown key": "'a' * 1_000_000 + ' = 1'",
    "long known value": "'name = \"' + 'a' * 1_000_000 + '\"'",
    "comments then a mistake": "'# x\\n' * 250_000 + 'b'",
    "4,097 binds": "''.join(f'[[fs.bind]]\\npath = \"/a{i}\"\\n' for i in range(4_097))",
    "binds, the last wrong": "''.join(f'[[fs.bind]]\\npath = \"/a{i}\"\\n' for i in range(4_095))"
    " + '[[fs.bind]]\\npath = \"a\"'",
    "many extends": "'extends = [' + '\"x\",' * 10_000 + ']'",
    "many patterns": "'[access]\\ndeny = [' + '\"/a\",' * 19_000 + '\"b\"]'",
    "many misspelled calls": "'[seccomp]\\nallow = [' + '\"a\",' * 19_000 + '\"B\"]'",
}
POD = {
    "many lines": "'newpts\\n' * 140_000",
    "many unknown words": "'newpts\\n' * 19_000 + 'x' * 900_000",
    "long line": "'file r /' + 'a' * 1_000_000",
    "deep path": "'file r ' + '/a' * 500_000",
    "blanks": "' ' * 1_000_000 + 'x'",
    "words": "'file ' + 'r ' * 500_000",
    "binds": "''.join(f'file r /a{i}\\n' for i in range(19_000)) + 'file r /a0'",
    "unknown keyword": "'z' * 1_000_000",
}
CASES = [(f"t.toml: {name}", text) for name, text in TOML.items()]
CASES += [(f"t.pod: {name}", text) for name, text in POD.items()]

RUN = """
import json, resource, sys, time
from podsh.profiles.find import Library
from podsh.profiles.schema import Context
from podsh.errors import UsageError
def peak():
    with open("/proc/self/status") as status:
        return int(next(l for l in status if l.startswith("VmHWM")).split()[1]) * 1024
library = Library("/nonexistent", Context("/home/u", "/srv/project"))
try:
    library.check("/w.toml", "[run]\\ncm = 1")  # imports what an error needs
except UsageError:
    pass
path, text = sys.argv[1], eval(sys.argv[2])
with open(path, "w") as file:
    file.write(text)
del text
before, start = peak(), time.process_time()
try:
    library.load(path)
    error = None
except UsageError as exc:
    error = str(exc)
print(json.dumps([error, time.process_time() - start, peak() - before]))
"""


@pytest.mark.parametrize(("case", "text"), CASES, ids=[case for case, _ in CASES])
def test_texts(case: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / case.partition(":")[0]
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), text],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    error, seconds, grown = json.loads(done.stdout)
    assert error is not None
    assert error.startswith(str(path))
    assert len(error) < 400 + len(str(path))
    assert error.isprintable()
    assert seconds < 1.0
    assert grown < 48 * MIB


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read(str(tmp_path / "x.toml"))


def _fails(path: Path, cause: str) -> None:
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        read(str(path))
    assert cause in caught.value.cause
    assert caught.value.place.startswith(str(path))
    assert time.monotonic() - start < 1


def test_directory(tmp_path: Path) -> None:
    _fails(tmp_path, "is a directory, not a file")


def test_fifo(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    os.mkfifo(path)
    _fails(path, "is a fifo, not a file")


def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("x.toml")
        _fails(Path("x.toml"), "is a socket, not a file")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/tty"])
def test_device_by_link(tmp_path: Path, device: str) -> None:
    path = tmp_path / "x.toml"
    path.symlink_to(device)
    _fails(path, "is a character device, not a file")


def test_dangling_link_and_loop(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.symlink_to("x.toml")
    _fails(path, "cannot be read: Too many levels of symbolic links")


def test_unreadable(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = tmp_path / "x.toml"
    path.touch(0o000)
    _fails(path, "cannot be read: Permission denied")


def test_size(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"#" * MAX_BYTES)
    assert len(read(str(path))[0]) == MAX_BYTES
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    _fails(path, "is larger than 1024 KiB")


def test_sparse_giant(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.touch()
    os.truncate(path, 1 << 40)
    _fails(path, "is larger than 1024 KiB")


def test_file_that_tells_no_size() -> None:
    assert read("/proc/self/status")[0].startswith("Name:")


@pytest.mark.parametrize(
    ("data", "line", "cause"),
    [
        (b"a = 1\nb = \x00", 2, "byte 10 is NUL"),
        (b"\n\n# caf\xe9\n", 3, "byte 7 (0xe9) is not UTF-8"),
        (b"# \xed\xa0\x80", 1, "byte 2 (0xed) is not UTF-8"),
    ],
)
def test_bytes(tmp_path: Path, data: bytes, line: int, cause: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read(str(path))
    assert caught.value.place == f"{path}:{line}"
    assert cause in caught.value.cause


def test_nul_in_the_name(ground: Ground) -> None:
    with pytest.raises(UsageError):
        ground.load("a\0b")
    with pytest.raises(UsageError):
        read("/a\0b")


def test_a_named_profile_that_is_a_fifo(ground: Ground) -> None:
    os.mkfifo(ground.user / "pipe.toml")
    with pytest.raises(UsageError, match="is a fifo"):
        ground.load("pipe")
    assert "is a fifo" in next(e.error for e in ground.library.entries() if e.name == "pipe")


# ---------------------------------------------------------------- any text at all

_SETTINGS = settings(database=None, deadline=None, max_examples=300)
_TOML_PIECES = st.sampled_from(
    [
        *toml.TOP, *(f"[{table}]" for table in toml.TABLES),
        *(key for keys in toml.TABLES.values() for key in keys),
        "[[fs.bind]]", "path", "dst", "write", "optional", " = ", "\n", "\n", ",", "{", "}", "[",
        "]", ".", '"', "'", '"""', "true", "false", "1", "-1", "0.5", "inf", "1979-05-27",
        '"/usr"', '"~/x"', '"$A/y"', '"{cwd}"', '"host"', '"512M"', '"base"', "[]", "{}",
        '["read"]', '["/a", "/b"]', "\\", "\\u0000", "\x00", "\r\n", "#", "é",
    ]
)  # fmt: skip
_POD_PIECES = st.sampled_from(
    [
        *pod.HANDLERS, *pod.ALIASES, *pod.GONE, " ", " ", "\t", "\n", "\n", "\r\n", "#", "r",
        "rwx", "d", "/", "/usr", "/etc", "/a/../b", "/podhome", "none", "loop", "ipvlan", "macvlan",
        "eth0", "1.2.3.4/24", "**:**:**:**:**:**", "CAP_CHOWN", "read", "0" * 32, "é", "\x00",
        "\u202e", "~", "$A", "{cwd}",
    ]
)  # fmt: skip
_CHECKER = Library("/nonexistent", Context("/home/u", "/srv/project", (("A", "/a"),)))


def _any(path: str, text: str) -> None:
    try:
        _CHECKER.check(path, text)
    except UsageError as exc:
        assert str(exc).isprintable(), text  # noqa: PT017 - both outcomes are fine, no other is
        assert exc.place.startswith(path), text  # noqa: PT017


@_SETTINGS
@example("a = 1e999999999")
@example("a = " + "9" * 900)
@example("fs = {bind = [{path = '/a'}, 5]}")
@given(st.lists(_TOML_PIECES, max_size=40).map("".join))
def test_any_toml(text: str) -> None:
    _any("/nonexistent/profiles/t.toml", text)


_LINES = st.builds(
    "{} = {}".format,
    st.sampled_from([key for keys in toml.TABLES.values() for key in keys] + [*toml.TOP, "path"]),
    _TOML_PIECES,
)
_HEADERS = st.sampled_from([f"[{table}]" for table in toml.TABLES] + ["[[fs.bind]]", "[run.env]"])


@_SETTINGS
@given(st.lists(_LINES | _HEADERS, max_size=12).map("\n".join))
def test_any_key_with_any_value(text: str) -> None:
    _any("/nonexistent/profiles/t.toml", text)


@_SETTINGS
@given(st.lists(_POD_PIECES, max_size=40).map("".join))
def test_any_pod(text: str) -> None:
    _any("/nonexistent/profiles/t.pod", text)
