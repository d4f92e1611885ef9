"""The program kage against servers that answer anything; with sanitizers."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from podsh.native import build

if TYPE_CHECKING:
    from collections.abc import Iterator

NATIVE = Path(__file__).resolve().parents[2] / "podsh" / "native"


class Done(NamedTuple):
    code: int
    out: bytes
    err: str


class Monitor:
    """A server that answers each request with ``answer``, or closes; what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "kage"
        self.program.symlink_to(build.build(str(NATIVE), asan=True))
        self.path = folder / "sock"
        self.answer: bytes | None = b"0\0"
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with sock:
                data = sock.recv(1 << 16)
                if data == b"end":
                    return
                self.asked.append(data)
                if self.answer is not None:
                    sock.send(self.answer)

    def run(self, *argv: str, cwd: Path | None = None, path: str = "") -> Done:
        done = subprocess.run(
            [self.program, *argv],
            env={"PODSH_KAGE_SOCKET": path or str(self.path)},
            cwd=cwd or self.folder,
            capture_output=True,
            timeout=30,
            check=False,
        )
        err = done.stderr.decode(errors="replace")
        assert "Sanitizer" not in err, err
        assert "runtime error" not in err, err
        return Done(done.returncode, done.stdout, err)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(self.path))
            sock.send(b"end")
        self._thread.join()
        self._listener.close()


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Monitor]:
    made = Monitor(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["info"], b"i--"),
        (["shim", "-a", "/x"], b"a--/x\0"),
        (["shim", "-w", "--access", "/x"], b"aw-/x\0"),
        (["shim", "--access=/x y/../z", "--write"], b"aw-/x y/../z\0"),
        (["shim", "-a/x"], b"a--/x\0"),
        (["shim", "-l", "/"], b"l--/\0"),
        (["shim", "--list", "/x"], b"l--/x\0"),
        (["mount", "-s", "/a", "-d", "/b"], b"m--/a\0/b\0"),
        (["mount", "-wp", "-d", "/b", "-s", "/a"], b"mwp/a\0/b\0"),
        (["mount", "--source=/a", "--destination=/b", "--parent"], b"m-p/a\0/b\0"),
        (["mount", "--write", "--source=/a", "--destination=/b"], b"mw-/a\0/b\0"),
        (["shim", "-a", "/" + "x" * 4094], b"a--/" + b"x" * 4094 + b"\0"),
        (["shim", "-a", os.fsdecode(b"/\xff")], b"a--/\xff\0"),
    ],
)
def test_words(monitor: Monitor, words: list[str], asked: bytes) -> None:
    assert monitor.run(*words) == (0, b"", "")
    assert monitor.asked == [asked]


def test_relative_paths_are_of_the_current_directory(monitor: Monitor, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert monitor.run("shim", "-a", "../f", cwd=tmp_path / "in").code == 0
    assert monitor.run("mount", "-s", ".", "-d", "/d", cwd=Path("/")).code == 0
    assert monitor.asked == [f"a--{tmp_path}/in/../f\0".encode(), b"m--/.\0/d\0"]


@pytest.mark.parametrize(
    "words",
    [
        *([], ["x"], ["shim"], ["shim", "-w"], ["shim", "-a"], ["shim", "-a", ""], ["info", "x"]),
        *(["shim", "-a", "/x", "-l", "/y"], ["shim", "-l", "/y", "-w"], ["shim", "-a", "/x", "y"]),
        *(["mount"], ["mount", "-s", "/x"], ["mount", "-d", "/x"], ["shim", "-x"], ["SHIM"]),
        *(["shim", "-a", "/" + "x" * 4095], ["shim", "-a", "x" * 4095], ["mount", "--no"]),
    ],
)
def test_what_cannot_be_asked(monitor: Monitor, words: list[str]) -> None:
    done = monitor.run(*words)
    assert done.code == 2
    assert done.out == b""
    assert done.err.startswith("kage: ")
    assert monitor.asked == []


@pytest.mark.parametrize("words", [["help"], ["--help"], ["-h"], ["shim", "-h"], ["mount", "-h"]])
def test_help(monitor: Monitor, words: list[str]) -> None:
    done = monitor.run(*words)
    assert done.code == 0
    assert done.out.startswith(b"usage: kage shim -a PATH")
    assert done.err == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"0web\0", (0, b"web\n", "")),
        (b"1\0not allowed", (1, b"", "kage: not allowed\n")),
        (b"2a\nb\0more", (2, b"a\nb\n", "kage: more\n")),
        (b"0" + b"x" * 60_000 + b"\0", (0, b"x" * 60_000 + b"\n", "")),
        (None, (2, b"", "kage: the monitor refused to answer\n")),
    ],
)
def test_answers(monitor: Monitor, answer: bytes | None, expected: tuple[int, bytes, str]) -> None:
    monitor.answer = answer
    assert monitor.run("info") == expected


def test_answers_that_make_no_sense(monitor: Monitor) -> None:
    rng = random.Random(3)
    for answer in (b"0", b"\0", b"\0\0", b"3\0", b"x", b"0x" * 40_000, b"\x80\0"):
        monitor.answer = answer
        done = monitor.run("info")
        assert (done.code, done.out) == (2, b""), answer
        assert "makes no sense" in done.err
    for _ in range(40):
        monitor.answer = rng.randbytes(rng.choice((1, 2, 10, 5000)))
        assert monitor.run("info").code in (0, 1, 2)


def test_nobody_there(monitor: Monitor) -> None:
    done = monitor.run("info", path=f"{monitor.path}.no")
    assert done.code == 2
    assert "is this a pod?" in done.err


def test_an_output_that_takes_nothing(monitor: Monitor) -> None:
    monitor.answer = b"0web\0"
    with open("/dev/full", "w") as full:
        for words in (["info"], ["help"]):
            done = subprocess.run(
                [monitor.program, *words],
                env={"PODSH_KAGE_SOCKET": str(monitor.path)},
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
            assert done.returncode == 2
