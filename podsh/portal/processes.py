"""The processes of a pod, as the host sees them."""

from __future__ import annotations

import os
from typing import Any

MAX_SHOWN = 256
_ARGV_BYTES = 4096


def below(init_pid: int) -> list[dict[str, Any]]:
    """``init_pid`` and its descendants: ``pid``, ``parent``, ``argv``; parents come first."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            parent = _parent(name)
            if parent:
                parents.setdefault(parent, []).append(int(name))
    found: list[dict[str, Any]] = []
    ahead = [(init_pid, 0)]
    while ahead and len(found) < MAX_SHOWN:
        pid, parent = ahead.pop(0)
        argv = _argv(pid)
        if argv:
            found.append({"pid": pid, "parent": parent, "argv": argv})
            ahead += ((child, pid) for child in sorted(parents.get(pid, ())))
    return found


def _parent(pid: str) -> int:
    """Its parent's pid (proc_pid_stat(5)); 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # the name may have any byte in it, a parenthesis too
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _argv(pid: int) -> list[str]:
    """Its command line, else its name; nothing where it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            data = file.read(_ARGV_BYTES)
    except FileNotFoundError:
        return []
    except OSError:
        data = b""
    if not data:
        try:
            with open(f"/proc/{pid}/comm", "rb") as file:
                data = file.read(64).rstrip(b"\n")
        except OSError:
            return []
    return [word.decode("utf-8", "replace") for word in data.rstrip(b"\0").split(b"\0")]
