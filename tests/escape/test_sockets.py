"""Socket families, and the host's servers: by address, by abstract name, by file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import BARRED, NOTHING, Row

if TYPE_CHECKING:
    from tests.escape.yard import Yard

FAMILY = ("EAFNOSUPPORT", "EPROTONOSUPPORT", *BARRED)
# nobody listens in the pod's own network; it may have no route at all
NOBODY = ("ENETUNREACH", "ECONNREFUSED", "EADDRNOTAVAIL", "EHOSTUNREACH")

FAMILIES = (
    Row("packet", FAMILY, "userns", may_lack=True),
    Row("vsock", FAMILY, may_lack=True),
    Row("bluetooth", FAMILY, "userns", may_lack=True),
    Row("can", FAMILY, "userns", may_lack=True),
    Row("tipc", FAMILY, may_lack=True),
    Row("algorithm", FAMILY, may_lack=True),
    Row("rds", FAMILY, may_lack=True),
    Row("rxrpc", FAMILY, may_lack=True),
    Row("key", FAMILY, "userns", may_lack=True),
    Row("xdp", FAMILY, "userns", may_lack=True),
    Row("smc", FAMILY, may_lack=True),
    Row("ax25", FAMILY, may_lack=True),
    Row("appletalk", FAMILY, "root", may_lack=True),
    Row("mptcp", FAMILY, may_lack=True),
    Row("raw_ip", BARRED, "userns"),
    Row("family_high_bits", FAMILY, may_lack=True),
    Row("netlink_audit", FAMILY, "userns", may_lack=True),
    Row("netlink_netfilter", FAMILY, may_lack=True),
    Row("netlink_generic", FAMILY),
    Row("netlink_sock_diag", FAMILY, may_lack=True),
    Row("netlink_xfrm", FAMILY, may_lack=True),
    Row("pair_of_vsock", FAMILY, may_lack=True),
)

SERVERS = (
    Row("host_tcp", NOBODY),
    Row("host_tcp6", NOBODY),
    Row("host_any", NOBODY),
    Row("host_fast_open", NOBODY),
    Row("host_udp", (*NOBODY, "no")),
    Row("host_abstract", ("ECONNREFUSED",)),
    Row("host_socket_file", ("ENOENT",)),
    Row("bound_datagram", ("EPROTONOSUPPORT",)),
    Row("bound_datagram_raw", ("EPROTONOSUPPORT",)),
    Row("bound_datagram_of_a_pair", ("EPROTONOSUPPORT",)),
    Row("interfaces", NOTHING, may_lack=True),
)


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.name)
def test_families(row: Row, yard: Yard) -> None:
    yard.check("sockets", FAMILIES, row)


@pytest.mark.parametrize("net", ["none", "loop"])
@pytest.mark.parametrize("row", SERVERS, ids=lambda row: row.name)
def test_servers(row: Row, net: str, yard: Yard) -> None:
    # the datagrams' socket is seen: it is the call that is refused
    options = ("--net", net, "--ro", str(yard.receiving))
    yard.check("sockets", SERVERS, row, options=options)
