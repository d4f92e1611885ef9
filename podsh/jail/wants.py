"""From a call that a pod's program makes to what it would have to be given for it.

What is there already, what is nowhere, and what no grant mends is not asked for: the kernel then
answers by itself.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal, NamedTuple

from podsh.errors import LaunchFailed
from podsh.jail import known
from podsh.jail.resolve import find
from podsh.kernel import mounts
from podsh.kernel.pathcalls import Act, asked
from podsh.kernel.uapi import AT_FDCWD, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podsh.jail.live import Live, Seen
    from podsh.kernel.memory import Reader
    from podsh.kernel.notify import Notification
    from podsh.kernel.pathcalls import Asked

_HOW_FLAGS = 8  # open_how.flags, <linux/openat2.h>
_OPENING = frozenset(("open", "openat", "openat2", "creat"))
_MAKING = frozenset(("mkdir", "mkdirat"))
# a script's interpreter may be a script, and that one's a dynamic program: fs/exec.c
_MAX_INTERPRETERS = 5
_HEADER = 256  # BINPRM_BUF_SIZE, <linux/binfmts.h>
_PT_INTERP = 3  # <elf.h>


class Want(NamedTuple):
    """One thing that a call lacks. Who takes it owns ``fd``.

    path: of the object on the host, without links. fd: it, held by O_PATH. exists: False where
    ``path`` is the directory in which the call makes or removes a name.
    asked: the name as the pod would name it, where that is another one.
    links: the host's links that lead from there to ``path``, as (path, target).
    settled: only the host says what lies at ``path``; of a socket that the pod may rename or
    replace, nothing but the very object that a person saw is allowed.
    """

    path: str
    mode: Literal["read", "write", "connect"]
    fd: int
    is_dir: bool
    exists: bool
    asked: str
    links: tuple[tuple[str, str], ...]
    settled: bool = True


def wants(live: Live, reader: Reader, call: str, note: Notification, arch: str) -> list[Want]:
    """What the held ``call`` lacks. OSError, where its caller is gone or cannot be read."""
    how = 0
    if call == "openat2":
        data = reader.bytes(note.pid, note.args[2], _HOW_FLAGS)
        how = int.from_bytes(data, "little")
    found: list[Want] = []
    for name in asked(call, note.args, arch, how):
        raw = reader.path(note.pid, name.address)
        if not raw:
            continue  # a bad pointer, too long, or the descriptor itself
        path = live.absolute(note.pid, name.dirfd, os.fsdecode(raw))
        if path is None:
            continue
        found += _of(live, call, note.pid, name, path)
    return found


def path_wants(live: Live, pid: int, path: str, write: bool) -> list[Want]:
    """What ``pid`` lacks to read, or write, the object at an absolute path."""
    absolute = live.absolute(pid, AT_FDCWD, path)
    if absolute is None:
        return []
    seen = live.look(pid, absolute)
    if seen is None:
        return []
    if seen.here:
        return _more(seen) if write and seen.readonly else []
    return _object(seen.path, "write" if write else "read")


def drop(found: list[Want]) -> None:
    """Let go of what nobody asks for after all."""
    for want in found:
        os.close(want.fd)


def _of(live: Live, call: str, pid: int, name: Asked, path: str) -> list[Want]:
    seen = live.look(pid, path, name.follow)
    if seen is None:
        return []
    act = name.act
    if act is Act.EXECUTE:
        found = [] if seen.here else _object(seen.path, "read")
        return found + _interpreters(live, pid, seen, found)
    if seen.here:
        return _beyond(live, call, act, seen)
    if act is Act.READ:
        return _object(seen.path, "read")
    if act is Act.CREATE and seen.base and not seen.readonly:
        return []  # in a directory of its own, whatever the host has there
    if act is Act.WRITE or (act is Act.CREATE and call in _OPENING):
        found = _object(seen.path, "write")
        return found or (_directory(live, pid, seen) if act is Act.CREATE else [])
    if act is Act.REMOVE and not os.path.lexists(seen.path):
        return []
    if act is Act.CREATE and call in _MAKING and (found := _object(seen.path, "read")):
        return found  # it is there: the program learns just that
    return _directory(live, pid, seen)


def _beyond(live: Live, call: str, act: Act, seen: Seen) -> list[Want]:
    """What is there is to be changed."""
    if act is Act.READ or not seen.readonly:
        return []
    if act is Act.WRITE or (act is Act.CREATE and call in _OPENING and not seen.is_dir):
        return _more(seen)
    if act is Act.CREATE and call in _MAKING:
        return []
    parent = os.path.dirname(seen.path)
    return _object(parent, "write", f"{parent.rstrip('/')}/{os.path.basename(seen.path)}")


def _more(seen: Seen) -> list[Want]:
    """Write access to what can be read: only where it is the host's object of that very name."""
    return _object(seen.path, "write")


def _object(path: str, mode: Literal["read", "write"], makes: str = "") -> list[Want]:
    """The host's object at ``path``; nothing where there is none, or none that can be given."""
    try:
        found = find(path)
    except LaunchFailed:
        return []
    if found is None:
        return []
    status = os.fstat(found.fd)
    is_dir = stat.S_ISDIR(status.st_mode)
    plain = is_dir or (stat.S_ISREG(status.st_mode) and not makes)
    if found.path == "/" or not plain or status.st_dev in known.kernel_devices():
        os.close(found.fd)
        return []
    name = makes or ("" if found.path == path else path)
    return [Want(found.path, mode, found.fd, is_dir, not makes, name, found.links)]


def _directory(live: Live, pid: int, seen: Seen) -> list[Want]:
    """The directory in which a missing name is made or removed."""
    if seen.base and not seen.readonly:
        return []  # the kernel says the rest
    parent, name = os.path.split(seen.path)
    if not seen.base:
        there = live.look(pid, parent)
        if there is not None and there.here and not there.readonly:
            return []
    return _object(parent, "write", f"{parent.rstrip('/')}/{name}")


# ---------------------------------------------------------------- interpreters


def _interpreters(live: Live, pid: int, seen: Seen, held: list[Want]) -> list[Want]:
    """The kernel opens a program's interpreters by itself: those that the pod lacks as well."""
    found: list[Want] = []
    header = _header(live, seen.path, held[0].fd if held else None)
    for _ in range(_MAX_INTERPRETERS):
        path = next(iter(_named(header)), None)
        if path is None:
            break
        absolute = live.absolute(pid, AT_FDCWD, path)
        there = live.look(pid, absolute) if absolute else None
        if there is None:
            break
        lacking = [] if there.here else _object(there.path, "read")
        if not there.here and not lacking:
            break
        found += lacking
        header = _header(live, there.path, lacking[0].fd if lacking else None)
    return found


def _header(live: Live, path: str, held: int | None) -> bytes:
    """The first bytes of a regular file, and of an ELF file the name of its interpreter."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        if held is not None:
            fd = os.open(f"/proc/self/fd/{held}", flags)
        else:
            # not before it is known to be a plain file: to open a device may do something
            look = mounts.openat2(
                live.root, path, os.O_PATH, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
            )
            try:
                if not stat.S_ISREG(os.fstat(look).st_mode):
                    return b""
                fd = os.open(f"/proc/self/fd/{look}", flags)
            finally:
                os.close(look)
    except OSError:
        return b""
    try:
        header = os.pread(fd, _HEADER, 0)
        if header[:4] != b"\x7fELF":
            return header
        return b"#!" + _elf_interpreter(fd, header) + b"\n"
    except (OSError, ValueError, IndexError, OverflowError):
        return b""  # cut short, or places in it that no file has
    finally:
        os.close(fd)


def _elf_interpreter(fd: int, header: bytes) -> bytes:
    """PT_INTERP of an ELF file, b"" if it has none: man 5 elf."""
    wide = header[4] == 2
    order: Literal["little", "big"] = "little" if header[5] == 1 else "big"

    def number(data: bytes, at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    word = 8 if wide else 4
    table = number(header, 32 if wide else 28, word)
    size, count = (number(header, at, 2) for at in ((54, 56) if wide else (42, 44)))
    if not 32 <= size <= 256 or count > 128:
        return b""
    data = os.pread(fd, size * count, table)
    for at in range(0, len(data), size):
        if number(data, at, 4) == _PT_INTERP:
            place = number(data, at + (8 if wide else 4), word)
            length = number(data, at + (32 if wide else 16), word)
            return os.pread(fd, min(length, 4096), place).split(b"\0")[0]
    return b""


def _named(header: bytes) -> Iterator[str]:
    """The interpreter of a script, or of what ``_header`` made to look like one."""
    if not header.startswith(b"#!"):
        return
    words = header[2:].split(b"\n")[0].split()
    if words and words[0].startswith(b"/"):
        yield os.fsdecode(words[0])
