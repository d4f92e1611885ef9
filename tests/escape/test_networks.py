"""Ways out by a pod's network: to the host's loopback past the routes, to what connects it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers import wires as w
from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from tests.helpers.wires import There, Wires

# Datagrams for this host by DEVICE, past the routes: bound to it, by a message's control data, and
# with a header of our own. A word for each address and way: sent, or the errno's name.
ATTEMPTS = """
import errno, socket, struct, sys
device = sys.argv[1]
index = socket.if_nametoindex(device)

def bound(family, address):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\\0")
    s.sendto(b"hello", (address, 7009))

def controlled(family, address):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET:
        # IP_PKTINFO, which Python does not name
        info = (socket.IPPROTO_IP, 8, struct.pack("=iII", index, 0, 0))
    else:
        info = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(16) + struct.pack("=I", index))
    s.sendmsg([b"hello"], [info], 0, (address, 7009))

def raw(family, address):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    udp = struct.pack("!HHHH", 7009, 7009, 13, 0) + b"hello"
    own = socket.inet_aton(sys.argv[2])
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, own,
                         socket.inet_aton(address))
    s.sendto(header + udp, ("198.51.100.7", 0))

ways = [(bound, 2, "127.0.0.1"), (bound, 2, "127.3.2.1"), (controlled, 2, "127.0.0.1")]
ways += [(bound, 10, "::1"), (controlled, 10, "::1"), (bound, 10, "::ffff:127.0.0.1")]
if len(sys.argv) > 2:
    ways = [(raw, 2, "127.0.0.1"), (raw, 2, "0.0.0.0")]
for way, family, address in ways:
    try:
        way(family, address)
        print("sent")
    except OSError as exc:
        print(errno.errorcode[exc.errno])
"""
RAW = '[net]\nmode = "user"\n[caps]\nkeep = ["CAP_NET_RAW"]\n'


def words(there: There, *argv: str) -> list[str]:
    done = there.pod(w.PYTHON, "-c", ATTEMPTS, *argv, options=("--net", "user"))
    return done.out.split()


def test_nothing_for_loopback_leaves_by_a_device(there: There, wires: Wires) -> None:
    needs_program("pasta")
    with wires.serve(wires.host, "127.0.0.1-7009", "::1-7009") as host:
        # without the sandbox they leave
        outside = wires.at_host(w.PYTHON, "-c", ATTEMPTS, "up0").split()
        assert outside == ["sent"] * 6
        assert words(there, "up0") == ["EPERM"] * 6
        assert host.got() == []


def test_nor_with_a_header_of_its_own(there: There, wires: Wires) -> None:
    needs_program("pasta")
    there.profile("raw", f'extends = "base"\n{RAW}')
    own = (w.PYTHON, "-c", ATTEMPTS, "up0", w.HOST)
    with wires.serve(wires.host, "127.0.0.1-7009") as host:
        assert wires.at_host(*own).split() == ["sent", "sent"]
        done = there.pod(*own, options=("-p", "raw"))
        assert done.out.split() == ["EPERM", "EPERM"], done.err
        assert host.got() == []


@pytest.mark.parametrize("what", ["rules", "addresses", "names"])
def test_what_connects_it_is_out_of_reach(there: There, what: str) -> None:
    needs_program("pasta")
    attempts = {
        # a netfilter socket, which could take the rules back
        "rules": "socket.socket(16, socket.SOCK_RAW, 12)",
        # the device's addresses, by a program without capabilities
        "addresses": "fcntl.ioctl(socket.socket(2, 2), 0x8914, b'up0' + bytes(37))",
        # sockets by abstract names: none but the pod's own
        "names": "open('/proc/net/unix').read().count('@') or 1/0",
    }
    script = f"import fcntl, socket\n{attempts[what]}\nprint('worked')"
    done = there.pod(w.PYTHON, "-c", script, options=("--net", "user"))
    assert (done.code, done.out) == (1, ""), done
