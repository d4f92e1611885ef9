"""System calls that no pod gets, and calls by a foreign ABI.

``reaches`` means: the kernel came as far as the call's own checks. What a filter refuses, or a
capability that is missing, ends before. facts: ``probe``, a static program.
"""

from __future__ import annotations

import ctypes
import errno
import os

from tools import call, facts, reaches

BAD = (errno.EFAULT, errno.EINVAL, errno.EBADF, errno.ENOENT, errno.ESRCH, errno.ENODEV)


def _bad(name: str, *arguments: object) -> bool:
    return bool(reaches(BAD, name, *arguments))


def _probe(*words: str) -> bool:
    os.execv(facts["probe"], [facts["probe"], *words])


def i386_getpid() -> bool:
    """int 0x80: another table of numbers, which a filter for the native one misjudges."""
    return _probe("int80")


def x32_getpid() -> bool:
    """The x32 ABI: native numbers with bit 30, past an equality test."""
    return call(39 | 0x40000000) > 0


def x32_high_mount() -> bool:
    return bool(reaches((errno.EFAULT, errno.EPERM), 165 | 0x40000000, None, None, None, 0, None))


def io_uring_setup() -> bool:
    """Its operations would run past the filter."""
    return call("io_uring_setup", 1, (ctypes.c_uint32 * 30)()) >= 0


def io_uring_enter() -> bool:
    return _bad("io_uring_enter", -1, 0, 0, 0, None, 0)


def io_uring_register() -> bool:
    return _bad("io_uring_register", -1, 0, None, 0)


def bpf() -> bool:
    """BPF_MAP_CREATE with an attribute of no map type."""
    return _bad("bpf", 0, (ctypes.c_uint64 * 16)(255), 72)


def perf_event_open() -> bool:
    return _bad("perf_event_open", None, 0, -1, -1, 0)


def userfaultfd() -> bool:
    """UFFD_USER_MODE_ONLY: open to everybody outside; it stretches races."""
    return call("userfaultfd", 1) >= 0


def keyctl() -> bool:
    """KEYCTL_GET_KEYRING_ID of the session's keyring: keyrings know no namespaces."""
    return call("keyctl", 0, -3, 0) != 0


def add_key() -> bool:
    return _bad("add_key", None, None, None, 0, 0)


def request_key() -> bool:
    return _bad("request_key", None, None, None, 0)


def kexec_load() -> bool:
    return _bad("kexec_load", 0, 0, None, 1 << 30)


def kexec_file_load() -> bool:
    return _bad("kexec_file_load", -1, -1, 0, None, 1 << 30)


def init_module() -> bool:
    return _bad("init_module", None, 0, None)


def finit_module() -> bool:
    return _bad("finit_module", -1, None, 1 << 30)


def delete_module() -> bool:
    return _bad("delete_module", None, 0)


def reboot() -> bool:
    """With wrong magic numbers."""
    return _bad("reboot", 0, 0, 0, None)


def swapon() -> bool:
    return _bad("swapon", None, 0)


def swapoff() -> bool:
    return _bad("swapoff", None)


def acct() -> bool:
    return _bad("acct", b"/nonexistent")


def settimeofday() -> bool:
    """A time that cannot be."""
    return _bad("settimeofday", (ctypes.c_long * 2)(0, -1), None)


def clock_settime() -> bool:
    return _bad("clock_settime", 0, (ctypes.c_long * 2)(0, -1))


def adjtimex() -> bool:
    """ADJ_OFFSET of nothing: setting, where reading alone is harmless."""
    words = (ctypes.c_long * 26)()
    words[0] = 0x4000  # ADJ_TICK with an impossible tick
    return _bad("adjtimex", words)


def quotactl() -> bool:
    return _bad("quotactl", 0, None, 0, None)


def vhangup() -> bool:
    """Without a terminal there is nothing to hang up."""
    os.setsid()
    return call("vhangup") == 0


def open_by_handle_at() -> bool:
    return _bad("open_by_handle_at", -1, None, 0)


def high_bits_of_number() -> bool:
    """A call's number with rubbish above bit 31: the kernel cuts it off, does the filter?"""
    return bool(reaches(BAD, 425 | 1 << 32, 1, None))
