"""What the kernel counts for each user, in pods and outside of them together: a pod gets half.

Else one pod leaves its caller's own programs none: no watcher of files, no timer, no queue.
"""

from __future__ import annotations

import functools
import resource

# a user namespace has limits of its own below the machine's: man 7 inotify, namespaces(7)
_WATCHING = {
    "user/max_inotify_instances": "/proc/sys/fs/inotify/max_user_instances",
    "user/max_inotify_watches": "/proc/sys/fs/inotify/max_user_watches",
}
_LIMITS = ("SIGPENDING", "MSGQUEUE")


@functools.cache
def sysctls() -> tuple[tuple[str, int], ...]:
    """Those of the pod's namespaces, each as (name, value)."""
    found = []
    for name, whole in _WATCHING.items():
        try:
            with open(whole, encoding="ascii") as file:
                found.append((name, max(int(file.read()) // 2, 1)))
        except (OSError, ValueError):
            continue  # a kernel without
    return tuple(found)


@functools.cache
def rlimits() -> tuple[tuple[str, int], ...]:
    """Each as (resource name of resource(3) without RLIMIT_, limit)."""
    found = []
    for name in _LIMITS:
        soft, _ = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
        if soft != resource.RLIM_INFINITY:
            found.append((name, soft // 2))
    return tuple(found)
