"""The calls that take a path, as a table: where their names are, and what they do to them. Pure.

Indexes count arguments from 0. Sources: Linux 6.18 ``include/linux/syscalls.h``, the man pages.
Calls that every filter refuses (mount, open_tree, chroot, …) are not here.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from podsh.kernel import uapi

O_CREAT, O_EXCL, O_TRUNC, O_APPEND = 0o100, 0o200, 0o1000, 0o2000  # <asm-generic/fcntl.h>
O_PATH = 0o10000000
O_TMPFILE_BIT = 0o20000000  # __O_TMPFILE: without O_DIRECTORY
# <asm/fcntl.h>: the one flag here that differs
O_NOFOLLOW = {"x86_64": 0o400000, "aarch64": 0o100000}
IN_DONT_FOLLOW = 0x02000000  # <linux/inotify.h>
W_OK = 2


class Act(enum.Enum):
    """What a call does to the object of a name, or to the name."""

    READ = "read"
    WRITE = "write"  # changes an object that is there
    CREATE = "create"  # makes the name: changes the directory
    REMOVE = "remove"  # takes the name away: changes the directory
    EXECUTE = "execute"
    CONNECT = "connect"  # the path lies in a socket address
    # by an argument
    OPEN = "open"  # flags of open(2)
    HOW = "how"  # the same, in the struct open_how that the argument points to
    MODE = "mode"  # mode of access(2)


class Follow(enum.Enum):
    """Whether a link at the end of the path is followed."""

    YES = "yes"
    NO = "no"
    # by flags; for Act.OPEN and HOW by O_NOFOLLOW in theirs
    UNLESS = "unless"  # AT_SYMLINK_NOFOLLOW
    IF = "if"  # AT_SYMLINK_FOLLOW
    MASK = "mask"  # IN_DONT_FOLLOW, in the mask of inotify_add_watch


class Name(NamedTuple):
    """Where one path of a call is. ``dirfd`` None: relative to the working directory."""

    path: int
    dirfd: int | None
    act: Act
    follow: Follow = Follow.YES
    by: int | None = None  # the argument that an act or a follow depends on


class PathCall(NamedTuple):
    """``names``: in the order of the arguments. ``flags``: index of AT_* flags, if it has any.

    ``cookie``: argument 6 is free. ``may_be_empty``: with AT_EMPTY_PATH it is fstat(2), no path.
    """

    names: tuple[Name, ...]
    flags: int | None = None
    cookie: bool = True
    may_be_empty: bool = False


class Asked(NamedTuple):
    """One name of one call as it was made. ``act``: READ, WRITE, CREATE, REMOVE, EXECUTE, CONNECT.

    ``dirfd``: AT_FDCWD or a number of the caller's. ``address``: of the path in its memory.
    """

    dirfd: int
    address: int
    act: Act
    follow: bool
    empty: bool  # AT_EMPTY_PATH: an empty path is the descriptor itself


def _one(
    path: int, act: Act, follow: Follow = Follow.YES, dirfd: int | None = None, **how: int
) -> PathCall:
    by = how.get("by")
    return PathCall((Name(path, dirfd, act, follow, by),), how.get("flags"))


def _at(act: Act, follow: Follow = Follow.YES, **how: int) -> PathCall:
    return _one(1, act, follow, 0, **how)


def _two(first: Name, second: Name, flags: int | None = None) -> PathCall:
    return PathCall((first, second), flags)


R, W, C, D = Act.READ, Act.WRITE, Act.CREATE, Act.REMOVE
_NO, _UNLESS, _IF = Follow.NO, Follow.UNLESS, Follow.IF

CALLS: dict[str, PathCall] = {
    "open": _one(0, Act.OPEN, by=1),
    "openat": _at(Act.OPEN, by=2),
    "openat2": _at(Act.HOW, by=2),
    "creat": _one(0, C),
    "stat": _one(0, R),
    "lstat": _one(0, R, _NO),
    "newfstatat": _at(R, _UNLESS, flags=3)._replace(may_be_empty=True),
    "statx": _at(R, _UNLESS, flags=2)._replace(may_be_empty=True),
    "access": _one(0, Act.MODE, by=1),
    "faccessat": _at(Act.MODE, by=2),
    "faccessat2": _at(Act.MODE, _UNLESS, by=2, flags=3),
    "readlink": _one(0, R, _NO),
    "readlinkat": _at(R, _NO),
    "execve": _one(0, Act.EXECUTE),
    "execveat": _at(Act.EXECUTE, _UNLESS, flags=4),
    "chdir": _one(0, R),
    "mkdir": _one(0, C, _NO),
    "mkdirat": _at(C, _NO),
    "rmdir": _one(0, D, _NO),
    "unlink": _one(0, D, _NO),
    "unlinkat": _at(D, _NO),
    "rename": _two(Name(0, None, D, _NO), Name(1, None, C, _NO)),
    "renameat": _two(Name(1, 0, D, _NO), Name(3, 2, C, _NO)),
    "renameat2": _two(Name(1, 0, D, _NO), Name(3, 2, C, _NO)),
    # a link changes its object: the number of its names
    "link": _two(Name(0, None, W, _NO), Name(1, None, C, _NO)),
    "linkat": _two(Name(1, 0, W, _IF), Name(3, 2, C, _NO), flags=4),
    "symlink": _one(1, C, _NO),
    "symlinkat": _one(2, C, _NO, dirfd=1),
    "truncate": _one(0, W),
    "chmod": _one(0, W),
    "fchmodat": _at(W),
    "fchmodat2": _at(W, _UNLESS, flags=3),
    "chown": _one(0, W),
    "lchown": _one(0, W, _NO),
    "fchownat": _at(W, _UNLESS, flags=4),
    "utime": _one(0, W),
    "utimes": _one(0, W),
    "futimesat": _at(W),
    "utimensat": _at(W, _UNLESS, flags=3),
    "mknod": _one(0, C, _NO),
    "mknodat": _at(C, _NO),
    "setxattr": _one(0, W),
    "lsetxattr": _one(0, W, _NO),
    "getxattr": _one(0, R),
    "lgetxattr": _one(0, R, _NO),
    "listxattr": _one(0, R),
    "llistxattr": _one(0, R, _NO),
    "removexattr": _one(0, W),
    "lremovexattr": _one(0, W, _NO),
    "setxattrat": _at(W, _UNLESS, flags=2)._replace(cookie=False),
    "getxattrat": _at(R, _UNLESS, flags=2)._replace(cookie=False),
    "listxattrat": _at(R, _UNLESS, flags=2),
    "removexattrat": _at(W, _UNLESS, flags=2),
    "file_getattr": _at(R, _UNLESS, flags=4),
    "file_setattr": _at(W, _UNLESS, flags=4),
    "inotify_add_watch": _one(1, R, Follow.MASK, by=2),
    "statfs": _one(0, R),
    "name_to_handle_at": _at(R, _IF, flags=4),
    # carried out by the monitor: no program says by itself that it need not look
    "connect": _one(1, Act.CONNECT)._replace(cookie=False),
}

_AT_FLAGS = {Follow.UNLESS: uapi.AT_SYMLINK_NOFOLLOW, Follow.IF: uapi.AT_SYMLINK_FOLLOW}


def asked(call: str, args: tuple[int, ...], arch: str, how_flags: int = 0) -> list[Asked]:
    """What a call asks for, by its six arguments as the kernel takes them.

    ``how_flags``: open_how.flags, read from the caller's memory, where the act is HOW.
    """
    entry = CALLS[call]
    flags = args[entry.flags] if entry.flags is not None else 0
    found = []
    for name in entry.names:
        act, follow = _settled(name, args, flags, how_flags, arch)
        dirfd = uapi.AT_FDCWD if name.dirfd is None else _int(args[name.dirfd])
        empty = bool(flags & uapi.AT_EMPTY_PATH) and name is entry.names[0]
        found.append(Asked(dirfd, args[name.path], act, follow, empty))
    return found


def _settled(
    name: Name, args: tuple[int, ...], flags: int, how_flags: int, arch: str
) -> tuple[Act, bool]:
    by = 0 if name.by is None else args[name.by]
    act = name.act
    if act is Act.MODE:
        act = W if by & W_OK else R
    elif act in (Act.OPEN, Act.HOW):
        return _opened(by if act is Act.OPEN else how_flags, arch)
    match name.follow:
        case Follow.UNLESS | Follow.IF:
            return act, bool(flags & _AT_FLAGS[name.follow]) == (name.follow is _IF)
        case Follow.MASK:
            return act, not by & IN_DONT_FOLLOW
    return act, name.follow is Follow.YES


def _opened(flags: int, arch: str) -> tuple[Act, bool]:
    follow = not flags & O_NOFOLLOW[arch]
    if flags & O_PATH:
        return R, follow  # the kernel then ignores what would write
    if flags & O_CREAT:
        # with both, a link at the end is in the way (open(2), O_EXCL)
        return C, follow and not flags & O_EXCL
    # 3 is "check for reading and writing"
    return W if flags & (3 | O_TRUNC | O_TMPFILE_BIT) else R, follow


def _int(argument: int) -> int:
    """As the kernel takes an ``int``: its low 32 bits, signed."""
    return (argument & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
