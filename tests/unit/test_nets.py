"""A pod's network as data: what --dry-run, ps and the monitor are told of it."""

from __future__ import annotations

import marshal
from typing import Any

import pytest

from podsh.errors import UsageError
from podsh.nets import Gizmo, Network
from podsh.plan import Request, make_plan
from podsh.portal import networks
from podsh.profiles import schema
from tests.unit.test_plan import FACTS, profile

LINKED = schema.Net("macvlan", "eth0", "10.0.0.2/24", "52:54:00:**:**:**", (1, 2))


def plan_of(asked: schema.Net, **request: Any) -> Network:
    return make_plan(profile(net=asked), Request(**request), FACTS).network


def test_the_command_line_goes_before_the_profile() -> None:
    assert plan_of(LINKED) == Network("macvlan", "eth0", "10.0.0.2/24", LINKED.mac, (1, 2))
    assert plan_of(LINKED, net="loop") == Network("loop", log=(1, 2))
    assert plan_of(schema.Net("host"), net="user") == Network("user")
    with pytest.raises(UsageError, match="macvlan names no device and address; write a profile"):
        plan_of(schema.Net("loop"), net="macvlan")
    with pytest.raises(UsageError, match="--net 'x' is none of none, loop, host"):
        plan_of(schema.Net("loop"), net="x")
    with pytest.raises(UsageError, match="the host's own traffic would be logged"):
        plan_of(LINKED, net="host")


def test_all_of_it_goes_over_the_wire() -> None:
    gizmos = (Gizmo("/g/ip", ("ip", "link"), 1 << 12, "cmdrs/me/x:3"),)
    for network in (Network(), Network("macvlan", "e", "1.2.3.4/8", None, (0, 0), gizmos)):
        wire = marshal.loads(marshal.dumps(network.to_wire()))
        assert Network.from_wire(wire) == network


def test_what_is_shown() -> None:
    gizmos = (Gizmo("/g/ip", ("ip", "link"), 1 << 12, "cmdrs/me/x:3"),)
    network = Network("macvlan", "eth0", "1.2.3.4/8", None, (5, 2), gizmos)
    assert network.describe() == [
        "link     eth0: macvlan eth0 a new hardware address 1.2.3.4/8, gateway as eth0's",
        "capture  its traffic, by tcpdump: 5 MB a file, 2 files",
        "cmdr     ip link  [cmdrs/me/x:3]",
    ]
    assert Network("loop").describe() == []
    assert Network("loop").shown() == {"mode": "loop"}
    assert not Network("loop").needs_setup
    assert Network("loop", log=(0, 0)).needs_setup


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("nameserver 1.1.1.1\nsearch a\n", "nameserver 1.1.1.1\nsearch a\n"),
        ("nameserver 127.0.0.53\nnameserver ::1\nnameserver 1.1.1.1", "nameserver 1.1.1.1\n"),
        ("nameserver 127.0.0.53\noptions edns0\n", ""),
        ("", ""),
    ],
)
def test_resolvers(text: str, kept: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(text)
    monkeypatch.setattr(networks, "_NAMESERVERS", (str(tmp_path / "none"), str(file)))
    assert networks.resolvers() == kept
