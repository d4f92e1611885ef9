"""What a call's name means on another architecture than the one it was written on. Pure.

A list of calls names them as somebody's machine did: i386's pods have ``mmap2`` and ``stat64``,
aarch64 has no ``open``. ``natives`` gives the calls that do the same here.
"""

from __future__ import annotations

from typing import NamedTuple

from podsh.kernel import syscalls

# names that no table of podsh's architectures has -> what does the same
_OTHERS = {
    "_llseek": "lseek",
    "_newselect": "select",
    "arm_fadvise64_64": "fadvise64",
    "arm_sync_file_range": "sync_file_range",
    "fadvise64_64": "fadvise64",
    "fstatat64": "newfstatat",
    "ipc": "shmat shmctl shmdt shmget semctl semget semop semtimedop msgctl msgget msgrcv msgsnd",
    "mmap2": "mmap",
    "nice": "setpriority",
    "oldfstat": "fstat",
    "oldlstat": "lstat",
    "oldolduname": "uname",
    "oldstat": "stat",
    "olduname": "uname",
    "readdir": "getdents",
    "recv": "recvfrom",
    "send": "sendto",
    "sgetmask": "rt_sigprocmask",
    "sigaction": "rt_sigaction",
    "signal": "rt_sigaction",
    "sigpending": "rt_sigpending",
    "sigprocmask": "rt_sigprocmask",
    "sigreturn": "rt_sigreturn",
    "sigsuspend": "rt_sigsuspend",
    "socketcall": """socket bind connect listen accept getsockname getpeername socketpair sendto
        recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg""",
    "ssetmask": "rt_sigprocmask",
    "stime": "settimeofday",
    "sync_file_range2": "sync_file_range",
    "ugetrlimit": "getrlimit",
    "umount": "umount2",
    "waitpid": "wait4",
}
# what today's libraries call instead, and all that newer architectures have: the same power
_NEWER = {
    "access": "faccessat faccessat2",
    "alarm": "setitimer",
    "chmod": "fchmodat",
    "chown": "fchownat",
    "creat": "openat",
    "dup2": "dup3",
    "epoll_create": "epoll_create1",
    "epoll_wait": "epoll_pwait",
    "eventfd": "eventfd2",
    "fork": "clone",
    "fstat": "newfstatat statx",
    "futimesat": "utimensat",
    "getdents": "getdents64",
    "getpgrp": "getpgid",
    "getrlimit": "prlimit64",
    "gettimeofday": "clock_gettime",
    "inotify_init": "inotify_init1",
    "lchown": "fchownat",
    "link": "linkat",
    "lstat": "newfstatat statx",
    "mkdir": "mkdirat",
    "mknod": "mknodat",
    "nanosleep": "clock_nanosleep",
    "open": "openat",
    "pipe": "pipe2",
    "poll": "ppoll",
    "readlink": "readlinkat",
    "rename": "renameat renameat2",
    "renameat": "renameat2",
    "rmdir": "unlinkat",
    "select": "pselect6",
    "setrlimit": "prlimit64",
    "signalfd": "signalfd4",
    "stat": "newfstatat statx",
    "symlink": "symlinkat",
    "time": "clock_gettime gettimeofday",
    "unlink": "unlinkat",
    "utime": "utimensat",
    "utimes": "utimensat",
    "vfork": "clone",
}
# of these endings the call without them takes the same arguments in the same places
_ENDINGS = ("_time64", "64", "32")
# known elsewhere, and nothing here: not a misspelling
_ELSEWHERE = frozenset(
    """
    bdflush break cacheflush breakpoint ftime get_tls gtty idle lock mpx prof profil set_tls stty
    ulimit usr26 usr32 vm86 vm86old riscv_flush_icache riscv_hwprobe pciconfig_iobase
    pciconfig_read pciconfig_write sync_file_range3
    """.split()
)


class Names(NamedTuple):
    """``calls``: native names in their order, each once. ``mapped``: name -> what it is here.

    ``absent``: known elsewhere, nothing here. ``unknown``: nowhere.
    """

    calls: tuple[str, ...]
    mapped: dict[str, tuple[str, ...]]
    absent: tuple[str, ...]
    unknown: tuple[str, ...]


def natives(name: str, arch: str) -> tuple[str, ...]:
    """The calls of ``arch`` that do what ``name`` does; itself alone where it has one."""
    table = syscalls.NAMES[arch]
    if name in table:
        return (name,)
    for plain in _plain(name):
        found = [call for call in plain.split() if call in table]
        found = found or [call for call in _newer(plain) if call in table]
        if found:
            return tuple(found)
    return ()


def newer(name: str, arch: str) -> tuple[str, ...]:
    """What today's libraries call on ``arch`` in the place of the native call ``name``."""
    return tuple(call for call in _newer(name) if call in syscalls.NAMES[arch])


def resolve(names: tuple[str, ...], arch: str, *, old: bool = False) -> Names:
    """A list of calls as it is on ``arch``. old: what today's libraries call comes with them."""
    calls: dict[str, None] = {}
    mapped: dict[str, tuple[str, ...]] = {}
    absent: list[str] = []
    unknown: list[str] = []
    for name in names:
        found = natives(name, arch)
        if not found:
            (absent if known(name) else unknown).append(name)
            continue
        if found != (name,):
            mapped[name] = found
        more = [call for each in found for call in newer(each, arch)] if old else []
        calls |= dict.fromkeys((*found, *more))
    return Names(tuple(calls), mapped, tuple(absent), tuple(unknown))


def known(name: str) -> bool:
    """Whether any architecture that podsh has heard of has a call of that name."""
    return name in _ELSEWHERE or any(natives(name, arch) for arch in syscalls.NAMES)


def _plain(name: str) -> list[str]:
    """``name`` under the names that a table of podsh's could have for it."""
    found = [_OTHERS[name]] if name in _OTHERS else []
    found += [name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending)]
    return found or [name]


def _newer(names: str) -> list[str]:
    return [call for name in names.split() for call in _NEWER.get(name, "").split()]
