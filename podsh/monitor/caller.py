"""Who asks: facts of a process of the pod, from procfs. Its words are its own: never believed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from podsh.monitor.loop import Loop

MAX_WORDS = 64
MAX_BYTES = 4096


class Process(NamedTuple):
    """One process for good: a number is used again, with another start."""

    pid: int
    start: int  # in clock ticks since boot


def process(tid: int) -> Process | None:
    """The process of a thread; None if it is gone."""
    fields = _status(tid)
    try:
        pid = int(fields["Tgid"])
        # field 22, counted behind the name in parentheses, which may contain anything
        return Process(pid, int(_read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19]))
    except (KeyError, ValueError, IndexError):
        return None


def argv(tid: int) -> tuple[str, ...]:
    """Its arguments, as it shows them now; bounded."""
    words = _read(f"/proc/{tid}/cmdline").split(b"\0")[:MAX_WORDS]
    return tuple(os.fsdecode(word) for word in (words[:-1] if words[-1:] == [b""] else words))


def parent(tid: int) -> tuple[int, str]:
    """(pid, name) of its parent; (0, "") where that is not to be known."""
    try:
        pid = int(_status(tid)["PPid"])
    except (KeyError, ValueError):
        return 0, ""
    return pid, os.fsdecode(_read(f"/proc/{pid}/comm").rstrip(b"\n"))


def signalled(tid: int) -> bool:
    """Whether a signal waits for the thread that it does not block."""
    fields = _status(tid)
    try:
        pending = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
        return bool(pending & ~int(fields["SigBlk"], 16))
    except (KeyError, ValueError):
        return False


def at_end(loop: Loop, processes: Iterable[Process], call: Callable[[], None]) -> None:
    """Call once all of these have ended; at once if they have."""
    left = 1

    def one_less() -> None:
        nonlocal left
        left -= 1
        if not left:
            call()

    def ended(fd: int) -> None:
        loop.remove_reader(fd)
        os.close(fd)
        one_less()

    for one in processes:
        try:
            fd = os.pidfd_open(one.pid)
        except OSError:
            continue
        if process(one.pid) != one:
            os.close(fd)
            continue
        left += 1
        loop.add_reader(fd, ended, fd)
    one_less()


def _status(tid: int) -> dict[str, str]:
    lines = _read(f"/proc/{tid}/status").decode("ascii", "replace").split("\n")
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, MAX_BYTES)
    except OSError:
        return b""
    finally:
        os.close(fd)
