"""What no grant shows: the kernel's own filesystems, and the paths that rules hide on this host.

Which filesystems are the kernel's is looked up again when the kernel says that a mount changed.
Where these lie, and what the rules name, changes without a word as well, by renames: a program that
reaches for one thing mostly reaches for more, so that is believed for a second.
"""

from __future__ import annotations

import _thread
import os
import select
import time
from typing import TYPE_CHECKING, NamedTuple

from podsh.jail.build import kernel_below
from podsh.jail.hidden import hidden_paths, lies_in
from podsh.jail.resolve import Names, below
from podsh.kernel import mounts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podsh.operations import Hide


class Known(NamedTuple):
    """``devices``: see ``kernel_devices``; ``kernel``: as ``mounts.Overview`` has it. ``paths``:
    (path without links, is a directory, rule)."""

    devices: frozenset[int]
    kernel: list[tuple[str, str, int]]
    paths: list[tuple[str, bool, str]]

    def hiding(self, path: str) -> tuple[str, str] | None:
        """What hides ``path``, it or a directory above, and by which rule."""
        for hidden, _, where in self.paths:
            if lies_in(path, hidden):
                return hidden, where
        return None

    def below(self, path: str) -> list[tuple[str, bool]]:
        """What is to be hidden in a mount of ``path``: (path below it, is a directory)."""
        found = list(kernel_below(path, self.kernel))
        return found + [
            (hidden[len(path) + 1 :], is_dir)
            for hidden, is_dir, _ in self.paths
            if below(hidden, path)
        ]


class _Watch:
    """The mounts that this process sees. Not to be shared with another: the kernel says once that
    something changed."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._file = open("/proc/self/mountinfo", "rb", buffering=0)
        self._devices: frozenset[int] | None = None

    def devices(self) -> frozenset[int]:
        with self._lock:
            poll = select.poll()
            poll.register(self._file, select.POLLPRI)  # man 5 proc_pid_mounts
            if poll.poll(0):
                self._devices = None
            if self._devices is None:
                self._devices = frozenset([device for _, _, device in mounts.kernel_mounts()])
            return self._devices


_watches: dict[int, _Watch] = {}
_last: tuple[tuple[Hide, ...], int, Known] | None = None


def kernel_devices() -> frozenset[int]:
    """st_dev of the kernel's own filesystems that are mounted now; the same object as long as no
    mount changed. From any thread."""
    watch = _watches.get(os.getpid())
    if watch is None:
        watch = _watches.setdefault(os.getpid(), _Watch())
    return watch.devices()


def known(hides: Iterable[Hide]) -> Known:
    """All that is hidden by rules, and by what it is. Raises LaunchFailed."""
    global _last
    rules, second, devices = tuple(hides), int(time.monotonic()), kernel_devices()
    if _last is None or _last[2].devices is not devices or _last[:2] != (rules, second):
        overview = mounts.Overview()
        paths = hidden_paths(rules, Names(), overview)
        _last = rules, second, Known(devices, overview.kernel, paths)
    return _last[2]


def forget() -> None:
    """Before processes are forked that are to look for themselves."""
    global _last
    _last = None
    _watches.clear()
