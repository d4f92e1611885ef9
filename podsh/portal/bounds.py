"""The groups that limit pods' memory and cpu: made before a launch, removed after the end."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import TYPE_CHECKING

from podsh.errors import KernelLacks
from podsh.kernel import cgroups

if TYPE_CHECKING:
    from podsh.operations import JailPlan

# processes that were killed take a moment to be gone
_TRIES = 50
_AGAIN_S = 0.1


def group_for(plan: JailPlan) -> cgroups.Group | None:
    """A new group for the pod, if its limits need one. Raises KernelLacks, with what mends it."""
    limits = cgroups.Limits(plan.memory, plan.cpu, plan.processes)
    needs = limits.needs()
    if not needs:
        return None
    asked = " and ".join(f"[limits] {name}" for name in sorted(needs, reverse=True))
    try:
        place = cgroups.place(needs)
        name = f"podsh-{plan.name}-{secrets.token_hex(4)}"
        return cgroups.Group.make(place, name, limits)
    except cgroups.Lacking as exc:
        why, hint = exc.why, exc.mend
    except OSError as exc:
        why, hint = f"no cgroup can be made: {os.strerror(exc.errno or 0)}", "see: podsh doctor"
    raise KernelLacks(f"cannot be enforced here: {why}", place=asked, hint=hint)


async def remove(group: cgroups.Group) -> None:
    """Once its last process is gone."""
    for _ in range(_TRIES):
        if group.remove():
            return
        await asyncio.sleep(_AGAIN_S)
