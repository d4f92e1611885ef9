"""Device nodes: making them, and which are there. facts: ``project``, ``bound``."""

from __future__ import annotations

import contextlib
import os
import stat

from tools import call, facts, opens

EXPECTED = {
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "ptmx",
    "pts",
    "shm",
    "fd",
    "stdin",
    "stdout",
    "stderr",
    "mqueue",
}


def _make(directory: str, kind: int, device: int) -> bool:
    path = directory + "/device"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.mknod(path, kind | 0o666, device)
    try:
        return opens(path, os.O_RDONLY)
    finally:
        os.unlink(path)


def make_null() -> bool:
    return _make("/tmp", stat.S_IFCHR, os.makedev(1, 3))


def make_memory() -> bool:
    """/dev/kmsg by another name."""
    return _make("/tmp", stat.S_IFCHR, os.makedev(1, 11))


def make_in_project() -> bool:
    return _make(facts["project"], stat.S_IFCHR, os.makedev(1, 3))


def make_disk() -> bool:
    """The disk that / is on, as a block device."""
    path = facts["project"] + "/disk"
    os.mknod(path, stat.S_IFBLK | 0o600, facts["disk"])
    os.unlink(path)
    return True


def use_planted() -> bool:
    """A node that somebody made on the host in a bound directory: binds are nodev."""
    return opens(facts["project"] + "/planted", os.O_RDONLY)


def unexpected() -> list[str]:
    """What is in /dev beside the handful that programs need."""
    return sorted(set(os.listdir("/dev")) - EXPECTED)


def chmod_null() -> bool:
    """The node is the host's: its mode must not change there."""
    os.chmod("/dev/null", 0o666)
    return True


def touch_tty() -> bool:
    os.utime("/dev/tty")
    return True


def plant_in_dev() -> bool:
    os.close(os.open("/dev/podsh-test", os.O_CREAT | os.O_WRONLY))
    os.unlink("/dev/podsh-test")
    return True


def kvm() -> bool:
    return opens("/dev/kvm", os.O_RDWR)


def fuse() -> bool:
    return opens("/dev/fuse", os.O_RDWR)


def random_reseed() -> bool:
    """RNDADDTOENTCNT: the host's entropy count."""
    fd = os.open("/dev/random", os.O_WRONLY)
    import ctypes

    call("ioctl", fd, 0x40045201, ctypes.byref(ctypes.c_int(0)))  # type: ignore[arg-type]
    return True
