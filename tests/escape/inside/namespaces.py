"""New namespaces (in which one would have every capability), and joining others."""

from __future__ import annotations

import errno
import os
import signal

from tools import call, facts, reaches

FLAGS = {
    "mnt": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x80,
}


def _unshare(kind: str) -> bool:
    call("unshare", FLAGS[kind])
    return True


def unshare_user() -> bool:
    return _unshare("user")


def unshare_mnt() -> bool:
    return _unshare("mnt")


def unshare_pid() -> bool:
    return _unshare("pid")


def unshare_net() -> bool:
    return _unshare("net")


def unshare_uts() -> bool:
    return _unshare("uts")


def unshare_ipc() -> bool:
    return _unshare("ipc")


def unshare_cgroup() -> bool:
    return _unshare("cgroup")


def unshare_time() -> bool:
    return _unshare("time")


def _clone(flags: int) -> bool:
    child = call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def clone_user() -> bool:
    return _clone(FLAGS["user"])


def clone_user_pid() -> bool:
    return _clone(FLAGS["user"] | FLAGS["pid"] | FLAGS["mnt"])


def clone_high_bits() -> bool:
    return _clone(FLAGS["user"] | 1 << 40)


def clone3_user() -> bool:
    """clone3(2) passes its flags in memory, where no filter sees them."""
    import ctypes

    arguments = (ctypes.c_uint64 * 8)(FLAGS["user"], 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = call("clone3", arguments, 64)
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def setns_own() -> bool:
    """Join a namespace by its file: one's own user namespace gives EINVAL when it gets that far."""
    fd = os.open("/proc/self/ns/user", os.O_RDONLY)
    return bool(reaches((errno.EINVAL,), "setns", fd, 0))


def setns_pidfd() -> bool:
    fd = call("pidfd_open", os.getpid(), 0)
    return bool(reaches((errno.EINVAL,), "setns", fd, FLAGS["user"]))


def setns_init() -> bool:
    """Join the namespaces of PID 1."""
    fd = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    return bool(reaches((errno.EINVAL, errno.EPERM), "setns", fd, 0))


def set_hostname() -> bool:
    name = os.uname().nodename.encode()
    call("sethostname", name, len(name))
    return True


def shares_hostname() -> bool:
    return os.uname().nodename == facts["hostname"]


def shares_ipc() -> bool:
    """A System V segment of the host's, by its key."""
    return call("shmget", facts["shm_key"], 0, 0) >= 0


def shares_message_queue() -> bool:
    """A POSIX message queue of the host's."""
    return call("mq_open", facts["queue"].encode(), os.O_RDONLY, 0, None) >= 0
