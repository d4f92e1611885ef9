"""``podsh-init beside``: options that make no sense end it with words, before it makes anything."""

from __future__ import annotations

import socket
import subprocess

import pytest

from podsh.native import build

NATIVE = build.__file__.rpartition("/")[0]


@pytest.fixture(scope="module")
def init() -> str:
    return build.build(NATIVE, asan=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nonsense", "--", "true"], "option nonsense"),
        (["ro", "/usr"], "option ro"),
        (["enter", "net"], "option net"),
        (["net", "x", "--", "true"], "option x"),
        (["caps", "0xg", "--", "true"], "option 0xg"),
        (["enter", "--"], "option --"),
        (["enter", "true", "more"], "option true"),
    ],
)
def test_malformed_options(init: str, options: list[str], words: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        done = subprocess.run(
            [init, "beside", str(theirs.fileno()), *options],
            pass_fds=(theirs.fileno(),),
            capture_output=True,
            text=True,
            timeout=30,
        )
        theirs.close()
        assert ours.recv(16) == b""
    assert done.returncode == 125
    assert done.stderr == f"podsh-init: beside: {words}: Invalid argument\n"
