"""What pods' networks take of the kernel, tried in a network namespace of the attempt's own.

Run by ``tries.py``, a child for each.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

from podsh.kernel import netfilter, uapi
from podsh.kernel.raw import function

_unshare = function("unshare", ctypes.c_int, ctypes.c_int)

# <linux/netlink.h>, <linux/rtnetlink.h>, <linux/if_link.h>
_REQUEST_ACK_CREATE = 0x1 | 0x4 | 0x400
_RTM_NEWLINK = 16
_IFLA_LINKINFO, _IFLA_INFO_KIND = 18, 1
_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_HEADER_BYTES = 16
_ANSWER_S = 5.0


def _asked(protocol: int, message: bytes) -> int:
    """The errno that the kernel answers in a new network namespace; 0 for none."""
    _unshare(uapi.CLONE_NEWNET)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as netlink:
        netlink.settimeout(_ANSWER_S)
        netlink.sendto(message, (0, 0))
        (code,) = struct.unpack_from("=i", netlink.recv(8192), _HEADER_BYTES)
        return -int(code)


def _kind(name: bytes) -> None:
    """Ask for a link of that kind on no device: what is not known is refused otherwise."""
    kind = struct.pack("=HH", 4 + len(name) + 1, _IFLA_INFO_KIND) + name + b"\0"
    kind += bytes(-len(kind) % 4)
    info = struct.pack("=HH", 4 + len(kind), _IFLA_LINKINFO) + kind
    length = _HEADER_BYTES + 16 + len(info)
    header = struct.pack("=IHHII", length, _RTM_NEWLINK, _REQUEST_ACK_CREATE, 1, 0)
    code = _asked(_NETLINK_ROUTE, header + bytes(16) + info)
    if code in (errno.EOPNOTSUPP, errno.EPERM):
        raise OSError(code, "not in this kernel" if code == errno.EOPNOTSUPP else os.strerror(code))


def macvlan() -> None:
    _kind(b"macvlan")


def ipvlan() -> None:
    _kind(b"ipvlan")


def packet_rules() -> None:
    """Those of pods of mode user."""
    code = _asked(_NETLINK_NETFILTER, netfilter.loopback_stays())
    if code:
        raise OSError(code, os.strerror(code))


ALL = (macvlan, ipvlan, packet_rules)
