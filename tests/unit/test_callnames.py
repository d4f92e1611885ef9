"""Calls as other machines name them."""

from __future__ import annotations

import pytest

from podsh.kernel import abis, callnames, syscalls


@pytest.mark.parametrize(
    ("name", "x86_64", "aarch64"),
    [
        ("read", "read", "read"),
        ("stat64", "stat", "newfstatat statx"),
        ("mmap2", "mmap", "mmap"),
        ("waitpid", "wait4", "wait4"),
        ("_llseek", "lseek", "lseek"),
        ("ugetrlimit", "getrlimit", "getrlimit"),
        ("_newselect", "select", "pselect6"),
        ("fstatat64", "newfstatat", "newfstatat"),
        ("getuid32", "getuid", "getuid"),
        ("clock_gettime64", "clock_gettime", "clock_gettime"),
        ("futex_time64", "futex", "futex"),
        ("open", "open", "openat"),
        ("fork", "fork", "clone"),
        ("umount", "umount2", "umount2"),
        ("prlimit64", "prlimit64", "prlimit64"),
        ("vm86", "", ""),
        ("nosuchcall", "", ""),
        ("32", "", ""),
    ],
)
def test_what_a_name_is_here(name: str, x86_64: str, aarch64: str) -> None:
    assert callnames.natives(name, "x86_64") == tuple(x86_64.split())
    assert callnames.natives(name, "aarch64") == tuple(aarch64.split())


def test_socketcall_is_all_of_its_calls() -> None:
    found = callnames.natives("socketcall", "x86_64")
    assert {"socket", "connect", "accept", "sendmsg", "recvfrom"} <= set(found)


def test_a_list_keeps_its_order_and_says_what_became_of_it() -> None:
    names = ("write", "mmap2", "stat64", "vm86", "raed", "mmap", "write")
    found = callnames.resolve(names, "x86_64")
    assert found.calls == ("write", "mmap", "stat")
    assert found.mapped == {"mmap2": ("mmap",), "stat64": ("stat",)}
    assert (found.absent, found.unknown) == (("vm86",), ("raed",))


def test_old_lists_get_what_todays_libraries_call() -> None:
    found = callnames.resolve(("open", "stat64", "fork"), "x86_64", old=True)
    assert found.calls == ("open", "openat", "stat", "newfstatat", "statx", "fork", "clone")
    assert callnames.resolve(("openat", "clone"), "x86_64", old=True).calls == ("openat", "clone")


def test_every_target_is_a_call() -> None:
    everything = set(syscalls.NAMES["x86_64"]) | set(syscalls.NAMES["aarch64"])
    for names in (*callnames._OTHERS.values(), *callnames._NEWER.values()):
        assert set(names.split()) <= everything


def test_what_gives_i386_its_powers_is_known_natively() -> None:
    """What is nothing native is refused there: only what no program of today needs."""
    without = {name for name in abis.NAMES["i386"] if not callnames.natives(name, "x86_64")}
    assert without == set(
        """break stty gtty ftime prof lock mpx ulimit profil idle vm86old vm86 bdflush""".split()
    )
