"""How fast output passes through a terminal: `cat` of a file, read from a pty by this process."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import shutil
import struct
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.helpers.runner import Podsh

SIZE = 50_000_000
ROWS, COLS = 24, 80
READ_BYTES = 65536


def plain(size: int) -> bytes:
    """Lines of words."""
    draw = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(500)]
    text = bytearray()
    while len(text) < 1_000_000:
        text += " ".join(draw.choices(words, k=11)).encode()[: COLS - 4] + b"\n"
    return (bytes(text) * (size // len(text) + 1))[:size]


def dense(size: int) -> bytes:
    """An escape sequence every few bytes: colours, cursor movements, erasures."""
    draw = random.Random(2)
    text = bytearray()
    while len(text) < 1_000_000:
        text += b"\x1b[%d;%dm" % (draw.choice((0, 1, 4, 7)), draw.randint(30, 37))
        text += draw.choice((b"word", b"ls", b"+", b"    "))
        if draw.random() < 0.05:
            text += b"\x1b[%d;%dH" % (draw.randint(1, ROWS), draw.randint(1, COLS))
        if draw.random() < 0.05:
            text += b"\x1b[K\r\n"
        if draw.random() < 0.02:
            text += b"\x1b[38;5;%dm" % draw.randint(0, 255)
    return (bytes(text) * (size // len(text) + 1))[:size]


def seconds(argv: Sequence[str], podsh: Podsh, keys: bytes = b"") -> float:
    """From the first byte that the program writes to its end. keys: typed to set it off."""
    pid, fd = pty.fork()
    if not pid:
        become = podsh.caller.become()
        if become is not None:
            become()
        os.chdir(podsh.home)
        os.execve(argv[0], list(argv), podsh.env)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
    if keys:
        time.sleep(1.0)  # it has to be attached first
        os.write(fd, keys)
    start = 0.0
    try:
        while data := os.read(fd, READ_BYTES):
            start = start or time.perf_counter()
            # as terminals do: who leaves one waits for that
            if b"\x1b[5n" in data[-64:]:
                os.write(fd, b"\x1b[0n")
    except OSError:
        pass  # EIO: the end
    took = time.perf_counter() - start
    os.close(fd)
    os.waitpid(pid, 0)
    return took


def measure(podsh: Podsh, rounds: int) -> dict[str, dict[str, list[float]]]:
    """MB/s of each round by kind of text and contender, taking turns."""
    found: dict[str, dict[str, list[float]]] = {}
    dtach, tmux = shutil.which("dtach"), shutil.which("tmux")
    own = str(podsh.command)
    for kind, content in (("plain", plain(SIZE)), ("escape-dense", dense(SIZE))):
        path = podsh.file(podsh.home / kind, content)
        cat = ["/bin/cat", str(path)]
        contenders = {
            "nothing": cat,
            "podsh run": [own, "run", "--rm", "--ro", str(path), "--", *cat],
        }
        if dtach:
            contenders["dtach"] = [dtach, "-A", str(podsh.base / "dtach"), "-E", "-z", *cat]
        if tmux:
            server = [tmux, "-S", str(podsh.base / "tmux"), "-f", "/dev/null"]
            contenders["tmux"] = [*server, "new-session", " ".join(cat)]
        speeds: dict[str, list[float]] = {name: [] for name in (*contenders, "podsh attach")}
        for _ in range(rounds):
            for name, argv in contenders.items():
                speeds[name].append(SIZE / 1e6 / seconds(argv, podsh))
            speeds["podsh attach"].append(SIZE / 1e6 / _attached(podsh, path, cat))
        found[kind] = speeds
        path.unlink()
    return found


def _attached(podsh: Podsh, path: Path, cat: list[str]) -> float:
    """A pod that was in the background until it is attached; a key sets it off."""
    script = f"stty -echo; read key; exec {' '.join(cat)}"
    options = ["-d", "--rm", "-n", "through", "--ro", str(path)]
    done = podsh.run("run", *options, "--", "/bin/sh", "-c", script)
    assert done.code == 0, done.err
    return seconds([str(podsh.command), "attach", "through"], podsh, b"\n")
