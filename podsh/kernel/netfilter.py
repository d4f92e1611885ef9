"""Packet rules of a pod's network namespace, as the messages of <linux/netfilter/nf_tables.h>.

A program in a pod may send what the routes would not: a socket bound to a device
(SO_BINDTODEVICE, IP_PKTINFO), or a header of its own, takes a packet for 127.0.0.1 out by that
device, and what forwards it to the host's sockets would hand it to the host's own loopback.
``loopback_stays`` drops such packets where they are made; programs in pods cannot undo it, since
their filter leaves them no netfilter socket.
"""

from __future__ import annotations

import socket
import struct

# <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>, <linux/netfilter.h>
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_SUBSYSTEM = 10 << 8
_NEWTABLE, _NEWCHAIN, _NEWRULE = _SUBSYSTEM | 0, _SUBSYSTEM | 3, _SUBSYSTEM | 6
_INET = 1  # NFPROTO_INET
_LOCAL_OUT = 3  # NF_INET_LOCAL_OUT
_REGISTER = 1  # NFT_REG_1, 16 bytes
_EQ, _NEQ = 0, 1
_META_NFPROTO, _META_OIFNAME = 15, 7
_NETWORK_HEADER = 1
_DROP = 0
# <linux/netlink.h>
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_NESTED = 0x8000
_TABLE = b"podsh\0"
_CHAIN = b"output\0"
_NAME_BYTES = 16  # IFNAMSIZ
_V4, _V6 = 2, 10  # NFPROTO_IPV4, NFPROTO_IPV6

# (family, where the destination is in the header, its first bits, how many bits). All that means
# this host to who connects to it: 0.0.0.0 and :: do as well.
_OWN = (
    (_V4, 16, bytes([127]), 8),
    (_V4, 16, bytes([0]), 8),
    (_V6, 24, bytes(15) + b"\1", 128),
    (_V6, 24, bytes(16), 128),
    (_V6, 24, bytes(10) + b"\xff\xff\x7f", 104),
    (_V6, 24, bytes(10) + b"\xff\xff\x00", 104),
)


def loopback_stays() -> bytes:
    """One transaction: what is for loopback addresses leaves by ``lo`` or not at all. Its last
    message asks for an answer."""
    parts = [_message(_BATCH_BEGIN, _REQUEST, b"", 10)]
    parts.append(_message(_NEWTABLE, _REQUEST | _CREATE, _attribute(1, _TABLE)))
    hook = _attribute(1, _u32(_LOCAL_OUT)) + _attribute(2, struct.pack(">i", -300))
    chain = _attribute(1, _TABLE) + _attribute(3, _CHAIN) + _nested(4, hook)
    chain += _attribute(7, b"filter\0")
    parts.append(_message(_NEWCHAIN, _REQUEST | _CREATE, chain))
    for number, row in enumerate(_OWN, 1):
        rule = _attribute(1, _TABLE) + _attribute(2, _CHAIN) + _nested(4, _drops(*row))
        last = _ACK if number == len(_OWN) else 0
        parts.append(_message(_NEWRULE, _REQUEST | _CREATE | _APPEND | last, rule))
    parts.append(_message(_BATCH_END, _REQUEST, b"", 10))
    return b"".join(parts)


def _drops(family: int, offset: int, prefix: bytes, bits: int) -> bytes:
    """meta nfproto FAMILY meta oifname != "lo" DESTINATION in PREFIX drop"""
    bytes_loaded = bits // 8
    load = _attribute(1, _u32(_REGISTER)) + _attribute(2, _u32(_NETWORK_HEADER))
    load += _attribute(3, _u32(offset)) + _attribute(4, _u32(bytes_loaded))
    verdict = _nested(2, _nested(2, _attribute(1, _u32(_DROP))))
    return b"".join(
        (
            _meta(_META_NFPROTO),
            _compare(_EQ, bytes([family])),
            _meta(_META_OIFNAME),
            _compare(_NEQ, b"lo".ljust(_NAME_BYTES, b"\0")),
            _expression(b"payload", load),
            _compare(_EQ, prefix),
            _expression(b"immediate", _attribute(1, _u32(0)) + verdict),
        )
    )


def _meta(key: int) -> bytes:
    return _expression(b"meta", _attribute(2, _u32(key)) + _attribute(1, _u32(_REGISTER)))


def _compare(operation: int, value: bytes) -> bytes:
    data = _nested(3, _attribute(1, value))
    fields = _attribute(1, _u32(_REGISTER)) + _attribute(2, _u32(operation)) + data
    return _expression(b"cmp", fields)


def _expression(name: bytes, fields: bytes) -> bytes:
    return _nested(1, _attribute(1, name + b"\0") + _nested(2, fields))


def _u32(value: int) -> bytes:
    return struct.pack(">I", value)


def _attribute(kind: int, value: bytes) -> bytes:
    """struct nlattr, padded to 4 bytes."""
    head = struct.pack("=HH", 4 + len(value), kind)
    return head + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)


def _message(kind: int, flags: int, attributes: bytes, resource: int = 0) -> bytes:
    """struct nlmsghdr, struct nfgenmsg, attributes. resource: of a batch, the subsystem."""
    family = socket.AF_UNSPEC if resource else _INET
    body = struct.pack("=BB", family, 0) + struct.pack(">H", resource) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body
