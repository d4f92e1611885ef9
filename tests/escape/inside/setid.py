"""Making a setuid file in a directory of the host's: a root shell for everybody there.

Every attempt leaves the bit's trace or fails; the test looks at the file from outside as well.
facts: ``project``, writable, on the host's file system.
"""

from __future__ import annotations

import contextlib
import os

from tools import call, facts

AT_FDCWD = -100
BITS = 0o6000


def _path() -> str:
    path = facts["project"] + "/setid"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return path


def _fresh() -> str:
    path = _path()
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755))
    return path


def _has_bits(path: str) -> bool:
    return bool(os.lstat(path).st_mode & BITS)


def chmod() -> bool:
    path = _fresh()
    os.chmod(path, 0o4755)
    return _has_bits(path)


def chmod_setgid() -> bool:
    path = _fresh()
    os.chmod(path, 0o2755)
    return _has_bits(path)


def chmod_high_bits() -> bool:
    """mode_t has 16 bits: the kernel ignores the rest."""
    path = _fresh()
    call("chmod", path.encode(), 0o4755 | 1 << 20 | 1 << 40)
    return _has_bits(path)


def fchmod() -> bool:
    path = _fresh()
    fd = os.open(path, os.O_RDONLY)
    os.fchmod(fd, 0o4755)
    return _has_bits(path)


def fchmodat() -> bool:
    path = _fresh()
    call("fchmodat", AT_FDCWD, path.encode(), 0o4755)
    return _has_bits(path)


def fchmodat2() -> bool:
    path = _fresh()
    call("fchmodat2", AT_FDCWD, path.encode(), 0o4755, 0)
    return _has_bits(path)


def open_mode() -> bool:
    path = _path()
    call("open", path.encode(), os.O_CREAT | os.O_WRONLY, 0o4755)
    return _has_bits(path)


def openat_mode() -> bool:
    path = _path()
    call("openat", AT_FDCWD, path.encode(), os.O_CREAT | os.O_WRONLY, 0o4755)
    return _has_bits(path)


def openat2_mode() -> bool:
    """openat2(2) takes its mode in memory, where no filter sees it."""
    import ctypes

    path = _path()
    how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, 0o4755, 0)
    call("openat2", AT_FDCWD, path.encode(), how, 24)
    return _has_bits(path)


def creat_mode() -> bool:
    path = _path()
    call("creat", path.encode(), 0o4755)
    return _has_bits(path)


def mknod_mode() -> bool:
    path = _path()
    call("mknod", path.encode(), 0o104755, 0)
    return _has_bits(path)


def mknodat_mode() -> bool:
    path = _path()
    call("mknodat", AT_FDCWD, path.encode(), 0o104755, 0)
    return _has_bits(path)


def tmpfile_mode() -> bool:
    """A nameless file with the bit, linked in afterwards."""
    path = _path()
    fd = call(
        "openat",
        AT_FDCWD,
        facts["project"].encode(),
        os.O_TMPFILE | os.O_RDWR,
        0o4755,
    )
    source = f"/proc/self/fd/{fd}".encode()
    call("linkat", AT_FDCWD, source, AT_FDCWD, path.encode(), 0x400)  # AT_SYMLINK_FOLLOW
    return _has_bits(path)


def mkdir_setgid() -> bool:
    path = facts["project"] + "/setid-directory"
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)
    call("mkdir", path.encode(), 0o2755)
    os.chmod(path, 0o2755)
    return _has_bits(path)


def file_capability() -> bool:
    """security.capability: the other way to privilege by a file (CAP_NET_RAW, version 2)."""
    path = _fresh()
    value = bytes.fromhex("0000000200200000000000000000000000000000")
    os.setxattr(path, "security.capability", value)
    return True


def chown_away() -> bool:
    """Give a file to another user."""
    path = _fresh()
    os.chown(path, 12345, 12345)
    return True


def execute_setuid() -> bool:
    """A setuid program that is there (su) gains nothing: no_new_privs, nosuid."""
    program = next(path for path in ("/usr/bin/su", "/bin/su") if os.path.exists(path))
    nosuid = os.statvfs(program).f_flag & os.ST_NOSUID
    no_new_privileges = call("prctl", 39, 0, 0, 0, 0)
    return bool(os.stat(program).st_mode & 0o4000) and not (nosuid and no_new_privileges)
