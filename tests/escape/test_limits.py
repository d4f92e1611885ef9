"""A pod that takes all it can get: it gets what its profile says."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.escape.yard import Yard

MIB = 1 << 20
PROFILE = f"""
name = "small"
extends = ["base"]
[limits]
processes = 320
open_files = 200
tmpfs = {32 * MIB}
ptys = 8
file_size = {16 * MIB}
"""


class Limit(NamedTuple):
    """A resource: at most ``most`` of it in the pod, at least ``least``; ``enough`` outside."""

    name: str
    least: int
    most: int
    enough: int


LIMITS = (
    Limit("processes", 250, 320, 400),
    Limit("open_files", 150, 200, 300),
    Limit("tmp_bytes", 8 * MIB, 32 * MIB, 48 * MIB),
    Limit("shm_bytes", 8 * MIB, 32 * MIB, 48 * MIB),
    Limit("terminals", 2, 8, 12),
    Limit("file_bytes", 8 * MIB, 16 * MIB, 20 * MIB),
)

# what the kernel counts for the user, in pods and outside of them together: one pod gets half
INSTANCES = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text()) // 2
SIGNALS = resource.getrlimit(resource.RLIMIT_SIGPENDING)[0] // 2
QUEUES = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[0] // 2
SHARED = (
    Limit("watchers", 8, INSTANCES, INSTANCES + 4),
    *((Limit("timers", 8, SIGNALS, SIGNALS + 100),) if SIGNALS > 0 else ()),
    *((Limit("queues", 0, QUEUES, QUEUES + 4096),) if QUEUES > 0 else ()),
)


def _number(detail: str) -> int:
    assert detail.isdigit(), detail
    return int(detail)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_limit(limit: Limit, yard: Yard) -> None:
    yard.podsh.profile("small", PROFILE)
    inside = yard.try_inside("limits", [limit.name], ("-p", "small"), enough=limit.enough)
    outside = yard.try_outside("limits", [limit.name], "same")
    assert limit.least <= _number(inside[limit.name].detail) <= limit.most
    assert _number(outside[limit.name].detail) >= limit.enough


def test_default_limits(yard: Yard) -> None:
    """Without a word in any profile, everything is bounded."""
    code = "import resource as r; print(*(r.getrlimit(n)[1] for n in (6, 7)))"  # NPROC, NOFILE
    inside = yard.podsh.pod("python3", "-c", code)
    assert inside.code == 0, inside.err
    assert all(0 < int(word) <= 4096 for word in inside.out.split())
    outside = yard.podsh.outside("python3", "-c", code)
    assert not all(0 < int(word) <= 4096 for word in outside.out.split())


@pytest.mark.parametrize("limit", SHARED, ids=lambda limit: limit.name)
def test_what_is_counted_for_the_user_is_left_to_others(limit: Limit, yard: Yard) -> None:
    inside = yard.try_inside("limits", [limit.name], enough=limit.enough)
    outside = yard.try_outside("limits", [limit.name], "same")
    assert limit.least <= _number(inside[limit.name].detail) <= limit.most
    assert _number(outside[limit.name].detail) > limit.most
