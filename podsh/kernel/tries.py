"""Kernel features tried out, in a process made for it: ``probe.py`` runs this and reads its words.

Every attempt has a child of its own, with mounts of its own; none outlives it. Run by
``podsh-init enter``, or, before that is built, in a user namespace that it makes itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import struct
import sys
from typing import TYPE_CHECKING

from podsh.kernel import bpf, mounts, nettries, process, uapi
from podsh.kernel.raw import function, system_call

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT_S = 5.0

_unshare = function("unshare", ctypes.c_int, ctypes.c_int)
_mount = function(
    "mount",
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_seccomp = system_call("seccomp", ctypes.c_uint, ctypes.c_uint, ctypes.c_char_p)
_ioctl = function("ioctl", ctypes.c_int, ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p)

MS_REC = 0x4000
# <linux/seccomp.h>
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5
SECCOMP_IOCTL_NOTIF_SET_FLAGS = 0x40082104
SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP = 1
SECCOMP_RET_ALLOW = 0x7FFF0000


# ---------------------------------------------------------------- in namespaces of podsh's own


def scratch() -> int:
    """A tmpfs of this attempt's own, as the current directory; its descriptor."""
    _unshare(uapi.CLONE_NEWNS)
    _mount(None, b"/", None, MS_REC | uapi.MS_PRIVATE, None)
    _mount(b"scratch", b"/proc", b"tmpfs", 0, None)
    os.chdir("/proc")
    for name in ("a", "b", "a/inner", "target"):
        os.mkdir(name)
    return os.open(".", os.O_PATH | os.O_CLOEXEC)


def mount_api() -> None:
    """A clone of everything, made read-only while it is nowhere."""
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    tree = mounts.clone_tree(root)
    flags = uapi.MOUNT_ATTR_RDONLY | uapi.MOUNT_ATTR_NOSUID | uapi.MOUNT_ATTR_NODEV
    mounts.mount_setattr(tree, set_=flags, propagation=uapi.MS_PRIVATE)
    mounts.attach(tree, mounts.openat2(scratch(), "target", os.O_PATH))


def detached_nesting() -> None:
    """One detached mount put into another."""
    top = scratch()
    outer = mounts.clone_tree(mounts.openat2(top, "a", os.O_PATH))
    inner = mounts.clone_tree(mounts.openat2(top, "b", os.O_PATH))
    mounts.attach(inner, mounts.openat2(outer, "inner", os.O_PATH))


def overlay() -> None:
    """A read-only overlay, as for a name that is missing below a read-only bind."""
    scratch()
    _mount(b"overlay", b"target", b"overlay", 0, b"lowerdir=a:b")


def nested() -> None:
    """Two more user namespaces: a pod's, and one inside a pod that may have them."""
    uid, gid = os.geteuid(), os.getegid()
    for _ in range(2):
        _new_user_namespace(uid, gid, 0)


def fresh_proc() -> None:
    """A procfs for a new pid namespace."""
    _in_new_pid_namespace(lambda: None)


def pid_max() -> None:
    """The pid limit of a namespace of its own, written as it is: where it is the host's limit
    after all, nothing changes."""

    def write() -> None:
        with open("/proc/sys/kernel/pid_max", "r+", encoding="ascii") as file:
            value = file.read()
            file.seek(0)
            file.write(value)

    _in_new_pid_namespace(write)


def _in_new_pid_namespace(action: Callable[[], None]) -> None:
    _unshare(uapi.CLONE_NEWNS | uapi.CLONE_NEWPID)
    _mount(None, b"/", None, MS_REC | uapi.MS_PRIVATE, None)

    def inside() -> None:
        _mount(b"proc", b"/proc", b"proc", 0, None)
        action()

    if said := attempt(inside):
        raise OSError(0, said)


# ---------------------------------------------------------------- anywhere


def openat2() -> None:
    mounts.openat2(uapi.AT_FDCWD, "/", os.O_PATH, resolve=uapi.RESOLVE_IN_ROOT)


def _load_filter(flags: int) -> int:
    """A filter that allows everything, loaded into this process."""
    process.set_no_new_privs()
    code = ctypes.create_string_buffer(bpf.INSTRUCTION.pack(0x06, 0, 0, SECCOMP_RET_ALLOW))
    # struct sock_fprog { unsigned short len; struct sock_filter *filter; }  <linux/filter.h>
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(code))
    return _seccomp(SECCOMP_SET_MODE_FILTER, flags, program)


def seccomp_filter() -> None:
    _load_filter(0)


def notification() -> None:
    _load_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER)


def wait_killable() -> None:
    _load_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)


def sync_wake_up() -> None:
    listener = _load_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER)
    # the flags are the argument itself, not a pointer to them
    flags = ctypes.c_char_p(SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
    _ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags)


# ---------------------------------------------------------------- the frame

NAMESPACED = (
    *(mount_api, detached_nesting, overlay, nested, fresh_proc, pid_max),
    *nettries.ALL,
)
ANYWHERE = (openat2, seccomp_filter, notification, wait_killable, sync_wake_up)


def attempt(action: Callable[[], None]) -> str:
    """Run ``action`` in a child; what went wrong in words, empty if nothing did."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            action()
        except OSError as exc:
            said = f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc.strerror)
        except Exception as exc:
            said = repr(exc)
        os.write(write, (said or "\0").encode(errors="replace")[:4096])
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], _TIMEOUT_S)
    said = os.read(read, 4096).decode() if ready else "it does not come back"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    return "" if said == "\0" else said or "it ended without a word"


def _new_user_namespace(uid: int, gid: int, others: int) -> None:
    """A user namespace in which this user keeps its ids."""
    _unshare(uapi.CLONE_NEWUSER | others)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def main(where: str) -> None:
    """Print ``{name: what went wrong}``. ``where``: ``entered`` (the namespaces are there),
    ``alone`` (make them), ``outside`` (only what needs none)."""
    actions: list[Callable[[], None]] = list(ANYWHERE)
    found = {}
    if where == "alone":
        own = (os.geteuid(), os.getegid())
        found["alone"] = said = attempt(lambda: _new_user_namespace(*own, uapi.CLONE_NEWNS))
        if not said:
            _new_user_namespace(*own, uapi.CLONE_NEWNS)
            where = "entered"
    if where == "entered":
        actions += NAMESPACED
    found |= {action.__name__: attempt(action) for action in actions}
    json.dump(found, sys.stdout)
