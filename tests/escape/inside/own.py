"""What every pod has of podsh, and the shim's way past the monitor: nothing is to be had by either.

facts: ``cookie``, what the shim says in the last argument of its calls, as anybody can read it;
``path``, a socket of the host's; ``secret``, a file of the host's; ``project``, writable.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct

from tools import call, facts

AT_FDCWD = -100
SET_MODE_FILTER, NEW_LISTENER = 1, 8
RET_ALLOW = 0x7FFF0000


def _file(name: str) -> str:
    """podsh's file in a pod; outside, one of the caller's own."""
    return f"/.podsh/{name}" if facts["inside"] else facts["project"] + "/file"


def write_page() -> bool:
    """What the monitor says to all programs of the pod: what to ask for again."""
    return os.open(_file("gen"), os.O_RDWR) >= 0


def map_page() -> bool:
    fd = os.open(_file("gen"), os.O_RDWR)
    return len(mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)) > 0


def reopen_page() -> bool:
    fd = os.open(_file("gen"), os.O_RDONLY)
    return os.open(f"/proc/self/fd/{fd}", os.O_RDWR) >= 0


def chmod_page() -> bool:
    os.chmod(_file("gen"), 0o666)
    return True


def truncate_page() -> bool:
    """Who has it mapped dies of SIGBUS then."""
    os.truncate(_file("gen"), 1)
    return True


def write_shim() -> bool:
    """The host's own file, which its next pods load."""
    return os.open(_file("shim.so"), os.O_WRONLY) >= 0


def write_kage() -> bool:
    return os.open(_file("bin/kage"), os.O_WRONLY) >= 0


def chmod_kage() -> bool:
    os.chmod(_file("bin/kage"), 0o4755)
    return True


def plant_library() -> bool:
    path = "/.podsh/mine.so" if facts["inside"] else facts["project"] + "/mine.so"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    os.unlink(path)
    return True


def move_aside() -> bool:
    path = "/.podsh" if facts["inside"] else facts["project"] + "/aside"
    if not facts["inside"]:
        os.makedirs(path, exist_ok=True)
    os.rename(path, path + "-moved")
    os.rename(path + "-moved", path)
    return True


def _cookies(count: int) -> list[int]:
    return [facts["cookie"]] * count


def connect_with_cookie() -> bool:
    """As if the shim had asked before: a connect is looked at all the same."""
    address = struct.pack("=H", socket.AF_UNIX) + facts["path"].encode() + b"\0"
    with socket.socket(socket.AF_UNIX) as client:
        call("connect", client.fileno(), address, len(address), *_cookies(3))
    return True


def open_with_cookie() -> bool:
    return call("openat", AT_FDCWD, facts["secret"].encode(), 0, 0, *_cookies(2)) >= 0


def unshare_with_cookie() -> bool:
    return call("unshare", 0x10000000, *_cookies(5)) == 0


def setid_with_cookie() -> bool:
    path = facts["project"] + "/cookie"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o755))
    try:
        call("fchmodat", AT_FDCWD, path.encode(), 0o4755, *_cookies(3))
        return bool(os.stat(path).st_mode & 0o4000)
    finally:
        os.unlink(path)


def setid_file_with_cookie() -> bool:
    path = facts["project"] + "/cookie"
    flags = os.O_CREAT | os.O_WRONLY
    call("openat", AT_FDCWD, path.encode(), flags, 0o4755, *_cookies(2))
    found = os.stat(path).st_mode
    os.unlink(path)
    return bool(found & 0o4000)


def own_listener() -> bool:
    """A filter of one's own that answers for the monitor: there is one listener in a tree."""
    code = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, RET_ALLOW))
    program = struct.pack("@HxxxxxxQ", 1, ctypes.addressof(code))
    call("prctl", 38, 1, 0, 0, 0)
    return call("seccomp", SET_MODE_FILTER, NEW_LISTENER, program) >= 0


def _ask(fd: int, request: int, argument: int | bytes) -> bool:
    try:
        return fcntl.ioctl(fd, request, argument) is not None
    except OSError as exc:
        if exc.errno != errno.ENOTTY:
            raise
        raise OSError(errno.ENOSYS, "an older kernel") from None


def namespace_of_init() -> bool:
    """PIDFD_GET_MNT_NAMESPACE, Linux 6.11: no file in procfs is needed for it."""
    return _ask(call("pidfd_open", 1, 0), 0xFF03, 0)


def next_mount_namespace() -> bool:
    """NS_MNT_GET_NEXT, Linux 6.12: from one mount namespace to the others."""
    return _ask(os.open("/proc/self/ns/mnt", os.O_RDONLY), 0x8010B70B, bytes(16))
