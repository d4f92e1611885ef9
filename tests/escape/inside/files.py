"""Reaching host files that are not in the pod, or writing those that are read-only.

facts: ``secret`` (a file of the caller's with the text ``marker``), ``home`` (the caller's home,
with a file named ``marker``), ``bound`` (a directory bound read-only), ``project`` (one bound
writable; in it ``link`` leads to the secret, ``up`` to the directory above it).
"""

from __future__ import annotations

import ctypes
import os

from tools import call, facts, read

AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400


def _is_secret(path: str) -> bool:
    return facts["marker"].encode() in read(path)


def read_secret() -> bool:
    """A file of the caller's own, which no bind shows."""
    return _is_secret(facts["secret"])


def read_secret_dotdot() -> bool:
    return _is_secret("/usr/../../../../../.." + facts["secret"])


def read_secret_by_link() -> bool:
    """Through a link that the host put into a bound directory."""
    return _is_secret(facts["project"] + "/link")


def read_secret_by_own_link() -> bool:
    path = facts["project"] + "/own-link"
    os.symlink(facts["secret"], path)
    try:
        return _is_secret(path)
    finally:
        os.unlink(path)


def above_by_link() -> bool:
    return os.path.basename(facts["secret"]) in os.listdir(facts["project"] + "/up")


def above_by_dotdot() -> bool:
    os.chdir(facts["project"])
    return os.path.basename(facts["secret"]) in os.listdir("..")


def above_by_descriptor() -> bool:
    """Up from a directory's descriptor, past the bind's root."""
    fd = os.open(facts["project"], os.O_RDONLY)
    up = os.open("..", os.O_RDONLY, dir_fd=fd)
    return os.path.basename(facts["secret"]) in os.listdir(up)


def list_home() -> bool:
    """The caller's real files at $HOME."""
    return facts["marker"] in os.listdir(facts["home"])


def hardlink_secret() -> bool:
    """A name for it in a directory that the pod may write."""
    path = facts["project"] + "/hard"
    os.link(facts["secret"], path)
    os.unlink(path)
    return True


def hardlink_read_only() -> bool:
    """Give a read-only file a name in a writable place: the link would be writable."""
    path = facts["project"] + "/hard"
    os.link(facts["bound"] + "/file", path)
    os.unlink(path)
    return True


def write_read_only() -> bool:
    with open(facts["bound"] + "/file", "r+b") as stream:
        return stream.writable()


def create_in_read_only() -> bool:
    path = facts["bound"] + "/new"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(path)
    return True


def chmod_read_only() -> bool:
    os.chmod(facts["bound"] + "/file", 0o644)
    return True


def touch_read_only() -> bool:
    os.utime(facts["bound"] + "/file")
    return True


def truncate_read_only() -> bool:
    path = facts["bound"] + "/file"
    os.truncate(path, os.stat(path).st_size)
    return True


def xattr_read_only() -> bool:
    os.setxattr(facts["bound"] + "/file", "user.podsh", b"1")
    return True


def rename_in_read_only() -> bool:
    old, new = facts["bound"] + "/file", facts["bound"] + "/renamed"
    os.rename(old, new)
    os.rename(new, old)
    return True


def move_out_of_read_only() -> bool:
    old, new = facts["bound"] + "/file", facts["project"] + "/moved"
    os.rename(old, new)
    os.rename(new, old)
    return True


def exchange_with_read_only() -> bool:
    """renameat2(RENAME_EXCHANGE) of a read-only name with a writable one."""
    old, new = facts["bound"] + "/file", facts["project"] + "/file"
    for _ in range(2):
        call("renameat2", AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), 2)
    return True


def reopen_for_writing() -> bool:
    """A read-only descriptor, opened again through /proc for writing."""
    fd = os.open(facts["bound"] + "/file", os.O_RDONLY)
    os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDWR))
    return True


def map_shared_writable() -> bool:
    import mmap

    fd = os.open(facts["bound"] + "/file", os.O_RDWR)
    mmap.mmap(fd, 1, prot=mmap.PROT_READ | mmap.PROT_WRITE).close()
    return True


def unlink_read_only() -> bool:
    """In earnest inside; outside the file is put back."""
    path = facts["bound"] + "/file"
    content, mode = read(path), os.stat(path).st_mode
    os.unlink(path)
    with open(path, "wb") as stream:
        stream.write(content)
    os.chmod(path, mode & 0o7777)
    return True


def write_system() -> bool:
    """A file in /usr: for root's pods above all."""
    path = "/usr/podsh-test"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.unlink(path)
    return True


def write_root_directory() -> bool:
    """The pod's own root is sealed: nothing can be planted beside what is granted later."""
    path = "/podsh-test"
    os.mkdir(path)
    os.rmdir(path)
    return True


def read_shadow() -> bool:
    """The system's password hashes: root's pods see /etc too."""
    return b":" in read("/etc/shadow")


def open_by_handle() -> bool:
    """An object by its file handle, past every path (open_by_handle_at(2))."""

    class Handle(ctypes.Structure):
        _fields_ = (
            ("size", ctypes.c_uint),
            ("kind", ctypes.c_int),
            ("data", ctypes.c_ubyte * 128),
        )

    handle, mount = Handle(128), ctypes.c_int()
    call(
        "name_to_handle_at",
        AT_FDCWD,
        (facts["bound"] + "/file").encode(),
        ctypes.byref(handle),  # type: ignore[arg-type]
        ctypes.byref(mount),  # type: ignore[arg-type]
        AT_SYMLINK_FOLLOW,
    )
    fd = os.open(facts["bound"], os.O_RDONLY)
    return call("open_by_handle_at", fd, ctypes.byref(handle), os.O_RDONLY) >= 0  # type: ignore[arg-type]


def sockets_of_the_host() -> list[str]:
    """Any socket file that can be seen: D-Bus, X11, agents, docker, podsh's own."""
    import stat

    found = []
    for top in ("/run", "/var/run", "/tmp", "/var", facts["home"]):
        for directory, deeper, names in os.walk(top):
            if directory.count("/") > 5:
                deeper.clear()
            for name in names:
                path = os.path.join(directory, name)
                try:
                    if stat.S_ISSOCK(os.lstat(path).st_mode):
                        found.append(path)
                except OSError:
                    continue
    return found
