"""State directories on disk: what pods wrote down, what is forgotten, what is deleted."""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podsh.portal.shred import Shred

# of an audit so much of its end is read: some hundred events
_TAIL_BYTES = 128 << 10


def forget(state_dir: str) -> None:
    """Remove what an earlier pod of that name said of itself; its homes stay."""
    for name in ("exit.json", "meta.json", "log", "log.1"):
        try:
            os.unlink(os.path.join(state_dir, name))
        except FileNotFoundError:
            pass
    traffic = os.path.join(state_dir, "net")
    if os.path.isdir(traffic):
        remove_tree(traffic)


def read(directory: str, name: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            fields = json.load(file)
    except (OSError, ValueError):
        return None
    return fields if isinstance(fields, dict) else None


def write_exit(state_dir: str, fields: dict[str, Any]) -> None:
    """The exit of a pod whose monitor could not write it."""
    try:
        with open(os.path.join(state_dir, "exit.json"), "w", encoding="utf-8") as file:
            file.write(json.dumps(fields | {"ts": time.time()}))
    except OSError:
        pass


def past(pods: Iterable[tuple[str, str]], before: float) -> list[dict[str, Any]]:
    """The events that pods (name, state directory) wrote down until ``before`` (epoch), unordered:
    the end of their audits, their last start and exit."""
    found: list[dict[str, Any]] = []
    for name, state_dir in pods:
        meta = read(state_dir, "meta.json") or {}
        ended = read(state_dir, "exit.json") or {}
        events = _audit(os.path.join(state_dir, "audit.jsonl"))
        events.append({"ev": "start", "ts": meta.get("started"), "argv": meta.get("argv")})
        if ended.get("state") == "exited":
            signo = ended.get("signal")
            how = {"code": ended.get("exit"), "signal": signo}
            events.append({"ev": "exit", "ts": ended.get("ts"), **how})
        for event in events:
            at = event.get("ts")
            if isinstance(at, (int, float)) and 0 < at < before:
                found.append({"pod": name, **event})
    return found


def _audit(path: str) -> list[dict[str, Any]]:
    """The last events of an audit; a line that is cut is none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL_BYTES, 0))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append(event)
    return found


def remove_tree(path: str, shred: Shred | None = None) -> None:
    """Delete a state directory, whatever its pod made of it: directories without permissions, or
    nested deeper than any path is long. Each is emptied after its directories were moved up.

    Links are removed, never followed; nobody else writes here once the pod has ended. ``shred``:
    overwrites the files first.
    """
    prefix = os.path.join(path, secrets.token_hex(8))
    todo = [path]
    made = 0
    while todo:
        directory = todo.pop()
        os.chmod(directory, 0o700)
        with os.scandir(directory) as found:
            entries = list(found)
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                if shred is not None:
                    try:
                        shred.take(entry.path)
                    except OSError as exc:
                        shred.failed.append(f"{entry.name}: {exc.strerror}")
                os.unlink(entry.path)
                continue
            os.chmod(entry.path, 0o700)  # its ".." changes with the move
            made += 1
            moved = f"{prefix}-{made}"
            os.rename(entry.path, moved)
            todo.append(moved)
        if directory != path:
            os.rmdir(directory)
    os.rmdir(path)
