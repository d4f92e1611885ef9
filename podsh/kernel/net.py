"""Makes a link on a device of the host's, in a pod's network namespace: a process of its own.

The portal starts it where a pod asks for ipvlan or macvlan, with the privilege that takes; the
pod's monitor, which has none over the host's network, gives it the namespace. The link is made in
there at once: nothing is on the host at any moment, and it ends with the pod. The only importer of
pyroute2, which takes 0.2 s: that goes by while the pod is built.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import json
import os
import socket
from typing import Any

from podsh.errors import LaunchFailed, PodshError
from podsh.kernel import process, uapi
from podsh.kernel.raw import function

NAME = "eth0"
# <linux/if_link.h>: pods on one device reach each other
_MACVLAN_BRIDGE = "bridge"
_IPVLAN_L2 = 0
_UP = 0x1  # IFF_UP of <linux/if.h>
_NODAD = 0x02  # IFA_F_NODAD of <linux/if_addr.h>: usable at once
_WIDE_METRIC = 1 << 32

_setns = function("setns", ctypes.c_int, ctypes.c_int, ctypes.c_int)


def main(fd: str, text: str) -> None:
    """``fd``: the connection to the monitor, which sends the namespace and is told the outcome.
    ``text``: JSON of kind, device, address, mac (None: the kernel's choice)."""
    process.set_dumpable(False)
    asked = json.loads(text)
    monitor = socket.socket(fileno=int(fd))
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    data, given, _, _ = socket.recv_fds(monitor, 16, 1)
    if not data or not given:
        return  # the pod came to nothing
    answer: dict[str, Any]
    try:
        try:
            answer = {"ok": _make(IPRoute, asked, given[0])}
        except NetlinkError as exc:
            raise _failure(asked, exc.code) from None
        except OSError as exc:
            raise _failure(asked, exc.errno or 0) from None
    except PodshError as exc:
        answer = {"error": exc.to_wire()}
    monitor.sendall(json.dumps(answer).encode())


def _failure(asked: dict[str, Any], code: int) -> LaunchFailed:
    place = f"network {asked['kind']} {asked['device']}"
    if code == errno.EOPNOTSUPP:
        return LaunchFailed(
            f"this kernel has no {asked['kind']}",
            place=place,
            hint=f"modprobe {asked['kind']}, or boot a kernel that has it",
        )
    hints = {
        errno.EBUSY: "it has another kind of link on it, or is part of a bridge",
        errno.ENETDOWN: f"bring it up: ip link set {asked['device']} up",
        errno.EADDRINUSE: "another link has that hardware address",
        errno.EINVAL: "it takes no such links",
    }
    return LaunchFailed(os.strerror(code), place=place, hint=hints.get(code, ""))


def _make(route: Any, asked: dict[str, Any], namespace: int) -> dict[str, Any]:
    """The link, its address, its gateway: its hardware address, and notes for a person. Raises
    LaunchFailed, NetlinkError, OSError."""
    interface = ipaddress.ip_interface(asked["address"])
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    kind: str = asked["kind"]
    with route() as host:
        found = host.link_lookup(ifname=asked["device"])
        if not found:
            raise LaunchFailed("no such device", place=asked["device"], hint="see: ip link")
        (device,) = host.get_links(found[0])
        if not device["flags"] & _UP:
            raise _failure(asked, errno.ENETDOWN)
        gateway = _gateway(host, family, found[0])
        fields: dict[str, Any] = {"link": found[0], "net_ns_fd": namespace}
        if kind == "macvlan":
            fields["macvlan_mode"] = _MACVLAN_BRIDGE
            if asked["mac"]:
                fields["address"] = asked["mac"]
        else:
            fields["ipvlan_mode"] = _IPVLAN_L2
        host.link("add", ifname=NAME, kind=kind, **fields)
    _setns(namespace, uapi.CLONE_NEWNET)
    with route() as pod:
        lo, link = pod.link_lookup(ifname="lo")[0], pod.link_lookup(ifname=NAME)[0]
        pod.link("set", index=lo, state="up")
        flags = {"flags": _NODAD} if family == socket.AF_INET6 else {}
        address = str(interface.ip)
        pod.addr("add", index=link, address=address, prefixlen=interface.network.prefixlen, **flags)
        pod.link("set", index=link, state="up")
        made = {"mac": pod.get_links(link)[0].get_attr("IFLA_ADDRESS"), "notes": []}
        if not gateway:
            return made | {"notes": [f"no default route: {asked['device']} has none"]}
        default = {"family": family, "dst": "default", "oif": link, "gateway": gateway}
        if ipaddress.ip_address(gateway) not in interface.network:
            default["flags"] = ["onlink"]
        pod.route("add", **default)
    return made


def _gateway(host: Any, family: int, device: int) -> str:
    """The gateway of the first default route by that device; "" without one."""
    best = (_WIDE_METRIC, "")
    for row in host.get_default_routes(family=family):
        attributes = dict(row["attrs"])
        if attributes.get("RTA_OIF") == device and attributes.get("RTA_GATEWAY"):
            metric = int(attributes.get("RTA_PRIORITY", 0))
            best = min(best, (metric, str(attributes["RTA_GATEWAY"])))
    return best[1]
