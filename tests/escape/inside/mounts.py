"""Changing what is mounted. facts: ``bound``, ``project`` as in files.py."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile

from tools import call, facts, reaches

AT_FDCWD = -100
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 1, 32, 4096, 8192, 16384, 1 << 18
OPEN_TREE_CLONE = 1


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int) -> bool:
    call("mount", source, target, kind, flags, None)
    return True


def _point() -> bytes:
    """A mount that podsh made; outside, the one that the control made."""
    return str(facts["bound"] if facts["inside"] else "/proc").encode()


def mount_tmpfs() -> bool:
    return _mount(b"none", b"/tmp", b"tmpfs", 0)


def mount_proc() -> bool:
    """A fresh procfs, without the masks."""
    return _mount(b"proc", b"/tmp", b"proc", 0)


def mount_sysfs() -> bool:
    return _mount(b"sysfs", b"/tmp", b"sysfs", 0)


def mount_bind() -> bool:
    return _mount(b"/usr", b"/tmp", None, MS_BIND)


def mount_overlay() -> bool:
    upper, work = f"{facts['project']}/upper", f"{facts['project']}/work"
    for path in (upper, work):
        os.makedirs(path, exist_ok=True)
    options = f"lowerdir=/usr,upperdir={upper},workdir={work}".encode()
    try:
        call("mount", b"overlay", b"/tmp", b"overlay", 0, options)
        call("umount2", b"/tmp", 2)
        os.rmdir(work + "/work")  # of mode 000: in the way of who removes the project
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # it was looked at: some file systems cannot be an upper
            raise
    return True


def mount_move() -> bool:
    # of its own: what is mounted below /tmp cannot be left behind
    place = tempfile.mkdtemp().encode()
    try:
        _mount(place, place, None, MS_BIND)
        return _mount(place, b"/mnt", None, MS_MOVE)
    finally:
        os.rmdir(place)


def remount_writable() -> bool:
    return _mount(b"none", _point(), None, MS_REMOUNT | MS_BIND)


def umount() -> bool:
    """See what lies below a mount of podsh's."""
    call("umount2", _point(), 2)  # MNT_DETACH
    return True


def umount_mask() -> bool:
    """What lies below the masks of /proc."""
    call("umount2", b"/proc/sys" if facts["inside"] else b"/proc", 2)
    return True


def remount_root() -> bool:
    return _mount(b"none", b"/", None, MS_REMOUNT | MS_BIND)


def make_private() -> bool:
    return _mount(b"none", b"/", None, MS_REC | MS_PRIVATE)


def pivot_root() -> bool:
    """Carried out as far as looking at the directories."""
    return bool(reaches((errno.EINVAL, errno.EBUSY), "pivot_root", b"/tmp", b"/tmp"))


def chroot() -> bool:
    os.chroot("/usr")
    return True


def open_tree_clone() -> bool:
    return call("open_tree", AT_FDCWD, b"/usr", OPEN_TREE_CLONE) >= 0


def open_tree_plain() -> bool:
    return call("open_tree", AT_FDCWD, b"/usr", 0) >= 0


def open_tree_attr() -> bool:
    return bool(reaches((errno.EINVAL, errno.EFAULT), "open_tree_attr", AT_FDCWD, b"/", 0, 1, 0))


def fsopen() -> bool:
    return call("fsopen", b"tmpfs", 0) >= 0


def fsconfig() -> bool:
    return bool(reaches((errno.EBADF, errno.EINVAL), "fsconfig", -1, 1, b"x", b"y", 0))


def fsmount() -> bool:
    return bool(reaches((errno.EBADF,), "fsmount", -1, 0, 0))


def fspick() -> bool:
    return call("fspick", AT_FDCWD, b"/proc", 0) >= 0


def move_mount() -> bool:
    return bool(reaches((errno.EINVAL,), "move_mount", AT_FDCWD, b"/usr", AT_FDCWD, b"/tmp", 0))


def mount_setattr() -> bool:
    """Clear read-only on a bind (struct mount_attr: set, clear, propagation, namespace)."""
    attributes = (ctypes.c_uint64 * 4)(0, 1, 0, 0)
    call("mount_setattr", AT_FDCWD, _point(), 0, attributes, 32)
    return True
