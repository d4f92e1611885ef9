"""Namespaces by descriptor: who owns one, and whether we may configure the host's network."""

from __future__ import annotations

import fcntl
import os

from podsh.kernel import caps

# <linux/nsfs.h>, man 2 ioctl_ns
NS_GET_USERNS = 0xB701


def owner(fd: int) -> int:
    """The user namespace that owns the one at ``fd``; the caller's to close. OSError EPERM: it is
    none of ours, nor below ours."""
    return fcntl.ioctl(fd, NS_GET_USERNS)


def effective() -> int:
    """The mask of our effective capabilities."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


def may_configure_network() -> bool:
    """Whether CAP_NET_ADMIN is ours where the network namespace that we are in belongs to."""
    if not effective() & caps.mask("net_admin"):
        return False
    net = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        owning = owner(net)
    except OSError:
        return False
    finally:
        os.close(net)
    try:
        return os.path.samestat(os.fstat(owning), os.stat("/proc/self/ns/user"))
    finally:
        os.close(owning)
