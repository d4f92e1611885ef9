"""The bytes of plans and programs as ``podsh-init`` reads them (podsh/native/init/plan.c).

Little-endian; strings are ``u32 length, bytes, NUL``. Pure.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Any

from podsh.errors import NotExecutable
from podsh.kernel.uapi import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Record = tuple[Any, ...]
    Stdio = tuple[int | None, int | None, int | None]

U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
HEADER = struct.Struct("<II")
PAIR = struct.Struct("<QQ")
TRIPLE = struct.Struct("<QQQ")


def string(text: str) -> bytes:
    data = os.fsencode(text)
    if b"\0" in data:
        raise ValueError(f"NUL in {text!r}")
    return U32.pack(len(data)) + data + b"\0"


# MAX_ARG_STRLEN of linux/binfmts.h, without the NUL; and what all of a program may take
_MAX_STRING = (1 << 17) - 1
_MAX_PROGRAM = 4 << 20


def _strv(items: Iterable[str]) -> bytes:
    parts = [string(item) for item in items]
    if any(len(part) > _MAX_STRING for part in parts) or sum(map(len, parts)) > _MAX_PROGRAM:
        raise NotExecutable(os.strerror(errno.E2BIG), place="arguments and environment")
    return U32.pack(len(parts)) + b"".join(parts)


# ---------------------------------------------------------------- the plan


def root(mode: int, size: int) -> Record:
    """The skeleton: a tmpfs of at most ``size`` bytes. Comes first."""
    return ("ROOT", mode, size)


def tmpfs(path: str, mode: int, size: int, noexec: bool) -> Record:
    """A fresh tmpfs at ``path``."""
    return ("TMPFS", path, mode, size, noexec)


def directory(path: str, mode: int) -> Record:
    """A directory; parents are made as for every record."""
    return ("DIR", path, mode)


def link(target: str, path: str) -> Record:
    """A symlink at ``path``; below a bind, whatever is there stays."""
    return ("LINK", target, path)


def file(path: str, mode: int, data: bytes) -> Record:
    """A file of the skeleton, or mounted over the one of that name in a bind."""
    return ("FILE", path, mode, data)


def mount(index: int, path: str, is_file: bool, optional: bool) -> Record:
    """Attach the ``index``-th of the mounts given to ``launch``."""
    return ("MOUNT", index, path, is_file, optional)


def proc(path: str) -> Record:
    """A fresh procfs, the machine's parts masked or read-only."""
    return ("PROC", path)


def devpts(path: str, count: int) -> Record:
    """An own instance of devpts with at most ``count`` terminals."""
    return ("DEVPTS", path, count)


def mask(path: str, is_dir: bool) -> Record:
    """Something empty and unreadable over what is at ``path``, if anything is."""
    return ("MASK", path, is_dir)


def socket(path: str) -> Record:
    """A listening socket (SEQPACKET) of the skeleton; the answer to the plan brings it along."""
    return ("SOCKET", path)


def hostname(name: str) -> Record:
    """The pod's host name; at most 64 bytes."""
    return ("HOSTNAME", name)


def loopback() -> Record:
    """``lo`` up, in the pod's own network namespace."""
    return ("LOOPBACK",)


def scope() -> Record:
    """Signals and abstract sockets end at the pod (Landlock): Linux 6.12."""
    return ("SCOPE",)


def sysctl(name: str, value: str, needed: bool) -> Record:
    """A sysctl of the pod's namespaces, ``name`` with slashes."""
    return ("SYSCTL", name, value, needed)


def inner(net: bool) -> Record:
    """A second user namespace, in which programs may keep capabilities; it owns the pod's IPC and
    host name, and with ``net`` its network, which begin anew."""
    return ("INNER", CLONE_NEWIPC | CLONE_NEWUTS | (CLONE_NEWNET if net else 0))


_ENCODERS: dict[str, tuple[int, Callable[..., bytes]]] = {
    "ROOT": (1, PAIR.pack),
    "TMPFS": (2, lambda path, *numbers: string(path) + TRIPLE.pack(*numbers)),
    "DIR": (3, lambda path, mode: string(path) + U64.pack(mode)),
    "LINK": (4, lambda target, path: string(target) + string(path)),
    "FILE": (
        5,
        lambda path, mode, data: string(path) + U64.pack(mode) + U32.pack(len(data)) + data + b"\0",
    ),
    "MOUNT": (
        6,
        lambda index, path, *flags: U64.pack(index) + string(path) + PAIR.pack(*flags),
    ),
    "PROC": (7, string),
    "DEVPTS": (8, lambda path, count: string(path) + U64.pack(count)),
    "MASK": (9, lambda path, is_dir: string(path) + U64.pack(is_dir)),
    "HOSTNAME": (10, string),
    "LOOPBACK": (11, lambda: b""),
    "SOCKET": (13, string),
    "SCOPE": (14, lambda: b""),
    "INNER": (15, U64.pack),
    "SYSCTL": (12, lambda name, value, needed: string(name) + string(value) + U64.pack(needed)),
}


def place(record: Record) -> str:
    """Where in the pod a record makes something; "" for those that do not."""
    kind = record[0]
    if kind in ("LINK", "MOUNT"):
        path: str = record[2]
        return path
    return record[1] if kind in ("TMPFS", "DIR", "FILE", "PROC", "DEVPTS", "MASK") else ""


def plan(records: Sequence[Record]) -> bytes:
    """The plan that init carries out, of records made by the functions above."""
    parts = [b"PODP", HEADER.pack(1, len(records))]
    for record in records:
        opcode, encode = _ENCODERS[record[0]]
        payload = encode(*record[1:])
        parts += (HEADER.pack(opcode, len(payload)), payload)
    return b"".join(parts)


# ---------------------------------------------------------------- programs


def program(
    *,
    argv: Sequence[str],
    env: Iterable[str],
    cwd: Iterable[str],
    cwd_must: bool = False,
    procname: str = "",
    rows: int = 24,
    cols: int = 80,
    umask: int = 0o022,
    rlimits: Sequence[tuple[int, int, int]] = (),
    stdio: Stdio = (None, None, None),
    keep_caps: int = 0,
    no_new_privs: bool = True,
    filter: bytes = b"",
    listen: bool = False,
    terminal: bool = True,
    fresh: bool = False,
) -> bytes:
    """A program as init starts it.

    env: ``K=V``. cwd: the first that works is taken; with ``cwd_must`` one has to. rlimits:
    (RLIMIT_* number, soft, hard), -1 for no limit. stdio: as given to ``send_run``. filter: struct
    sock_filter[] of linux/filter.h. listen: the filter notifies; LISTENER comes before the exec.
    terminal: its own controls it. fresh: by a new process, also where one is parked.
    """
    flags = 0
    for number, fd in enumerate(stdio):
        if fd is not None:
            flags |= (1 if fd >= 0 else 8) << number
    if listen:
        flags |= 64
    if not terminal:
        flags |= 128
    if fresh:
        flags |= 256
    limits = b"".join(
        TRIPLE.pack(number, soft % 2**64, hard % 2**64) for number, soft, hard in rlimits
    )
    return b"".join(
        (
            TRIPLE.pack(flags, rows, cols),
            string(procname),
            _strv(argv),
            _strv(env),
            _strv(cwd),
            TRIPLE.pack(cwd_must, umask, len(rlimits)),
            limits,
            PAIR.pack(keep_caps, no_new_privs),
            U32.pack(len(filter)),
            filter,
        )
    )
