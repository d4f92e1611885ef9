"""Sockets: families with their own attack surface, and servers of the host's.

facts: ``tcp_port`` and ``udp_port`` on the host's loopback, ``abstract`` (the name of a listening
socket), ``path`` (a listening socket's file), ``datagrams`` (a receiving socket's, in a directory
that the pod sees).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from tools import call, facts

STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5


def _socket(family: int, kind: int = DGRAM, protocol: int = 0) -> bool:
    os.close(call("socket", family, kind, protocol))
    return True


def packet() -> bool:
    return _socket(17, RAW, 0x0300)


def vsock() -> bool:
    """AF_VSOCK: straight to the hypervisor, whatever the network namespace."""
    return _socket(40, STREAM)


def bluetooth() -> bool:
    return _socket(31, RAW, 1)


def can() -> bool:
    return _socket(29, RAW, 1)


def tipc() -> bool:
    return _socket(30, SEQPACKET)


def algorithm() -> bool:
    """AF_ALG: the kernel's ciphers."""
    return _socket(38, SEQPACKET)


def rds() -> bool:
    return _socket(21, SEQPACKET)


def rxrpc() -> bool:
    return _socket(33, DGRAM, 2)


def key() -> bool:
    return _socket(15, RAW, 2)


def xdp() -> bool:
    return _socket(44, RAW)


def smc() -> bool:
    return _socket(43, STREAM)


def ax25() -> bool:
    return _socket(3, SEQPACKET)


def appletalk() -> bool:
    return _socket(5)


def mptcp() -> bool:
    return _socket(2, STREAM, 262)


def raw_ip() -> bool:
    return _socket(2, RAW, 1)


def family_high_bits() -> bool:
    """AF_ALG with rubbish above bit 31: an int argument."""
    return _socket(38 | 1 << 32, SEQPACKET)


def netlink_audit() -> bool:
    return _socket(16, RAW, 9)


def netlink_netfilter() -> bool:
    return _socket(16, RAW, 12)


def netlink_generic() -> bool:
    return _socket(16, RAW, 16)


def netlink_sock_diag() -> bool:
    """Every socket of the network namespace."""
    return _socket(16, RAW, 4)


def netlink_xfrm() -> bool:
    return _socket(16, RAW, 6)


def pair_of_vsock() -> bool:
    """socketpair(2) is another way to a family's code: EOPNOTSUPP comes from there."""
    import ctypes

    try:
        call("socketpair", 40, STREAM, 0, (ctypes.c_int * 2)())
    except OSError as exc:
        if exc.errno != errno.EOPNOTSUPP:
            raise
    return True


def _connects(kind: int, family: int, address: tuple[str, int] | str) -> bool:
    with socket.socket(family, kind) as client:
        client.settimeout(3)
        client.connect(address)
    return True


def host_tcp() -> bool:
    return _connects(socket.SOCK_STREAM, socket.AF_INET, ("127.0.0.1", facts["tcp_port"]))


def host_tcp6() -> bool:
    return _connects(socket.SOCK_STREAM, socket.AF_INET6, ("::1", facts["tcp6_port"]))


def host_any() -> bool:
    """0.0.0.0 leads to the loopback as well."""
    return _connects(socket.SOCK_STREAM, socket.AF_INET, ("0.0.0.0", facts["tcp_port"]))


def host_fast_open() -> bool:
    """Data with the connection's first packet, without connect(2)."""
    with socket.socket() as client:
        client.sendto(b"x", 0x20000000, ("127.0.0.1", facts["tcp_port"]))
    return True


def host_udp() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.sendto(b"ping", ("127.0.0.1", facts["udp_port"]))
        return client.recv(16) == b"pong"


def host_abstract() -> bool:
    """The abstract namespace knows no files: X11, D-Bus and containerd have listened there."""
    return _connects(socket.SOCK_STREAM, socket.AF_UNIX, "\0" + facts["abstract"])


def host_socket_file() -> bool:
    return _connects(socket.SOCK_STREAM, socket.AF_UNIX, facts["path"])


def _sends(sender: socket.socket) -> bool:
    """Not blocking: nobody reads, and a full queue is a way in as well."""
    with sender, contextlib.suppress(BlockingIOError):
        sender.setblocking(False)
        sender.sendto(b"x", facts["datagrams"])
    return True


def bound_datagram() -> bool:
    return _sends(socket.socket(socket.AF_UNIX, DGRAM))


def bound_datagram_raw() -> bool:
    """AF_UNIX takes SOCK_RAW for datagrams."""
    return _sends(socket.socket(socket.AF_UNIX, RAW))


def bound_datagram_of_a_pair() -> bool:
    """A socket that has a peer may still name another receiver."""
    one, two = socket.socketpair(socket.AF_UNIX, DGRAM)
    with two:
        return _sends(one)


def interfaces() -> list[str]:
    """Network interfaces beside the loopback and what every new namespace is born with."""
    born = (
        "lo",
        "tunl0",
        "sit0",
        "gre0",
        "gretap0",
        "erspan0",
        "ip_vti0",
        "ip6_vti0",
        "ip6tnl0",
        "ip6gre0",
        "teql0",
    )
    return [name for _, name in socket.if_nameindex() if name not in born]
