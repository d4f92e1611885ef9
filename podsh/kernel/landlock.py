"""What of Landlock the kernel has: man 7 landlock. Rulesets are made by init."""

from __future__ import annotations

import ctypes
import functools

from podsh.kernel.raw import system_call

SCOPES = 6  # the ABI that has them: Linux 6.12
CREATE_RULESET_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION, <linux/landlock.h>


def abi() -> int:
    """The version of its ABI. OSError: ENOSYS, EOPNOTSUPP (not in the kernel's lsm= list)."""
    create_ruleset = system_call(
        "landlock_create_ruleset", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint
    )
    return int(create_ruleset(None, 0, CREATE_RULESET_VERSION))


@functools.cache
def has_scopes() -> bool:
    """Whether it can keep abstract sockets and signals within a pod."""
    try:
        return abi() >= SCOPES
    except OSError:
        return False
