"""jettison's users file: what it allows, and how a mistake in it is told."""

from __future__ import annotations

import pytest

from podsh.errors import UsageError
from podsh.profiles import permits
from podsh.profiles import values as v
from podsh.profiles.words import Bad

FILE = """\
# somebody
newpts
iplimit 5
netdev eth0
netdev lan.1
macaddr aa:BB:cc:dd:ee:ff
macaddr 52:54:00:xx:xx:**
ipaddr 192.168.1.5/24
ipaddr 192.168.1.20-192.168.1.29/24   # a range
ipaddr 10.0.0.0/16
ipaddr fd00::8/64
gizmo ip
gizmo watch CAP_NET_RAW
"""
FIXED, OWN = "aa:bb:cc:dd:ee:ff", "52:54:00:00:00:01"


def allowed(
    device: str, address: str, mac: str | None, kind: str = "macvlan", used: int = 0
) -> bool:
    try:
        permits.parse(FILE, "users/me").check_link(kind, device, address, mac, used)
    except UsageError:
        return False
    return True


@pytest.mark.parametrize(
    ("device", "address", "mac", "expected"),
    [
        ("eth0", "192.168.1.5/24", FIXED, True),
        ("lan.1", "192.168.1.5/24", OWN, True),
        ("eth1", "192.168.1.5/24", FIXED, False),
        ("eth0", "192.168.1.5/16", FIXED, False),
        ("eth0", "192.168.1.6/24", FIXED, False),
        ("eth0", "192.168.1.19/24", FIXED, False),
        ("eth0", "192.168.1.20/24", FIXED, True),
        ("eth0", "192.168.1.29/24", FIXED, True),
        ("eth0", "192.168.1.30/24", FIXED, False),
        ("eth0", "10.0.7.9/16", FIXED, True),
        ("eth0", "10.1.0.1/16", FIXED, False),
        ("eth0", "fd00::8/64", FIXED, True),
        ("eth0", "fd00::9/64", FIXED, False),
        ("eth0", "192.168.1.5/24", "52:54:01:00:00:01", False),
        # free bytes may become anything that the pattern is free in
        ("eth0", "192.168.1.5/24", "52:54:00:**:**:**", True),
        ("eth0", "192.168.1.5/24", "52:54:**:**:**:**", False),
        ("eth0", "192.168.1.5/24", None, False),
    ],
)
def test_links(device: str, address: str, mac: str | None, expected: bool) -> None:
    assert allowed(device, address, mac) is expected
    # ipvlan has the device's own hardware address
    if mac not in (FIXED, OWN):
        assert allowed(device, address, None, "ipvlan") is True


def test_counts() -> None:
    assert allowed("eth0", "192.168.1.5/24", FIXED, used=4)
    assert not allowed("eth0", "192.168.1.5/24", FIXED, used=5)


def test_any_hardware_address_and_none() -> None:
    assert permits.covers("**:**:**:**:**:**", None)
    assert permits.covers("**:**:**:**:**:**", OWN)
    assert not permits.covers(FIXED, None)


def test_gizmos() -> None:
    assert permits.parse(FILE, "x").gizmos == {"ip": None, "watch": ("CAP_NET_RAW",)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("netdef eth0", 'unknown keyword "netdef"; did you mean "netdev"?'),
        ("netdev", "netdev takes one word; write netdev DEV"),
        ("netdev a b", "netdev takes one word"),
        ("netdev a/b", "cannot name a network device"),
        ("iplimit 0", 'iplimit "0" is no count'),
        ("iplimit 1\niplimit 2", "iplimit is there twice"),
        ("ipaddr here", "is no address"),
        ("ipaddr 10.0.0.9-10.0.0.1/24", "is no range; write the lower address first"),
        ("ipaddr 10.0.0.9-fd00::1/24", "is no range"),
        ("macaddr 52:54", "is no hardware address"),
        ("macaddr 01:00:5e:00:00:01", "is a multicast address"),
        ("gizmo", "gizmo names nothing"),
        ("gizmo ../sh", "is no plain name"),
        ("gizmo ip\ngizmo ip", "is there twice"),
        ("gizmo ip CAP_CHOWN", "a gizmo cannot have CAP_CHOWN; it may have CAP_NET_ADMIN"),
        ("newpts 3", '"3" is too much'),
        ("netdev \x1b[31m", "unprintable characters"),
    ],
)
def test_mistakes_are_told_with_their_line(line: str, words: str) -> None:
    text = f"\n# first\n{line}\n"
    with pytest.raises(UsageError) as caught:
        permits.parse(text, "users/me")
    assert caught.value.place == f"users/me:{2 + line.count(chr(10)) + 1}"
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_hardware_addresses_of_profiles() -> None:
    assert v.mac("**:**:**:**:**:**") is None
    assert v.mac("xx:xx:xx:XX:xx:xx") is None
    assert v.mac("52:54:00:XX:**:0A") == "52:54:00:**:**:0a"
    for wrong in ("52:54:00:xx:xx", "5x:54:00:00:00:00", "53:00:00:00:00:00"):
        with pytest.raises(Bad):
            v.mac(wrong)
