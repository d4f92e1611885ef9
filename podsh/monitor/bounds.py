"""The group that limits a pod's memory and cpu, as its monitor knows it: entered, and watched."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from podsh.errors import LaunchFailed
from podsh.kernel.cgroups import Group

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.monitor.loop import Loop


LATE_S = 0.2


class Bounds:
    """Of one pod. ``tell`` is given an event whenever processes were killed for want of memory."""

    def __init__(self, fields: dict[str, Any], init_pid: int) -> None:
        """Put the pod into its group. Raises LaunchFailed."""
        self.group = Group.from_wire(fields)
        self._kills = 0
        self._fd = -1
        self._tell: Callable[[dict[str, Any]], None] = lambda _: None
        try:
            self.group.enter(init_pid)
        except OSError as exc:
            raise LaunchFailed(
                f"the pod cannot be put into its cgroup: {os.strerror(exc.errno or 0)}",
                place="[limits]",
                hint="see: podsh doctor",
            ) from None

    def watch(self, loop: Loop, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        if "memory" not in self.group.directories:
            return
        try:
            self._fd, events = self.group.watch_oom()
        except OSError:
            return  # what there is to tell is told at the end
        loop.add_watch(self._fd, events, self._changed, loop)

    def _changed(self, loop: Loop) -> None:
        self.group.seen(self._fd)
        self.look()
        # version 1 tells of it before it has killed anybody
        loop.call_later(LATE_S, self.look)

    def look(self) -> None:
        """Tell of what was killed since."""
        kills = self.group.oom_kills()
        if kills > self._kills:
            limit = self.group.usage()["memory_limit"]
            count, self._kills = kills - self._kills, kills
            self._tell({"ev": "oom", "ts": time.time(), "count": count, "limit": limit})

    def close(self, loop: Loop) -> None:
        """The pod has ended: without processes, its group can go. The portal tries again."""
        if self._fd >= 0:
            loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self.group.remove()
