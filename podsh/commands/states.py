"""ps --state: what pods have on disk."""

from __future__ import annotations

import os
import stat

from podsh.commands.pods import state_words
from podsh.console.render import show, size, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context

_PARTS = {
    "home": ("home", "podhome"),
    "logs": ("log", "log.1"),
    "audit": ("audit.jsonl", "audit.jsonl.1"),
}
_BLOCK = 512  # of st_blocks, whatever the filesystem's is: man 3 stat
_MOST = 100_000  # files that are looked at: a pod may have made any number


def list_(pods: list[dict[str, Any]], as_json: bool, context: Context) -> int:
    """A line for every pod that has a directory: bytes of each part, and where it is."""
    rows = []
    for pod in pods:
        directory = str(pod.get("state_dir") or "")
        if not directory or not os.path.isdir(directory):
            continue
        sizes = {part: size_of(directory, names) for part, names in _PARTS.items()}
        if as_json:
            fields = {"name": pod["name"], "state": pod["state"], "dir": directory, **sizes}
            context.emit(fields, "state")
        shown = [size(total) if total is not None else "many" for total in sizes.values()]
        rows.append([show(str(pod["name"])), state_words(pod), *shown, show(directory)])
    if not as_json:
        for line in table(["NAME", "STATE", "HOME", "LOGS", "AUDIT", "DIRECTORY"], rows):
            context.row(line)
    return 0


def size_of(directory: str, names: tuple[str, ...]) -> int | None:
    """Bytes on disk of these and what is below them, no link followed; None: too many files."""
    total, left = 0, _MOST
    todo = [os.path.join(directory, name) for name in names]
    while todo:
        path = todo.pop()
        try:
            found = os.lstat(path)
            total += found.st_blocks * _BLOCK
            if stat.S_ISDIR(found.st_mode):
                with os.scandir(path) as inner:
                    for entry in inner:
                        left -= 1
                        if left < 0:
                            return None
                        todo.append(entry.path)
        except OSError:
            continue  # gone meanwhile, or nested deeper than any path is long
    return total
