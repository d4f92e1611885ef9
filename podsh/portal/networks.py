"""A pod's network before it is made: who may have it, and who makes what monitors cannot.

A link on a device of the host's takes privilege over the host's network, which the monitors, in a
user namespace of podsh's own, have not. So the portal, where it has it, starts a process for each
such pod, that gets the pod's namespace from the monitor (podsh/kernel/net.py).
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from podsh.errors import UsageError
from podsh.kernel import helper, namespaces
from podsh.nets import LINKS
from podsh.portal import admin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podsh.nets import Network
    from podsh.operations import JailPlan
    from podsh.portal.pods import Pod
    from podsh.profiles.schema import Profile

_NAMESERVERS = (
    "/etc/resolv.conf",
    # where that only names a resolver on the host's loopback: those that it asks
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
)


def checked(network: Network, where: str, pods: Iterable[Pod]) -> Network:
    """``network`` as it will be: its hardware address chosen. Raises UsageError where the caller
    may not have it; nothing is touched. pods: all of the caller's."""
    if network.mode not in LINKS:
        return network
    if not namespaces.may_configure_network():
        raise UsageError(
            f"newnet {network.mode} needs CAP_NET_ADMIN over the host's network, which you lack",
            place=where,
            hint="start it as root, or use --net user, which needs no privilege",
        )
    try:
        socket.if_nametoindex(network.device)
    except OSError:
        there = ", ".join(name for _, name in socket.if_nameindex())
        raise UsageError(
            f"there is no network device {network.device!a}",
            place=where,
            hint=f"there are: {there}",
        ) from None
    live = [pod for pod in pods if not pod.ended and pod.network.get("mode") in LINKS]
    for pod in live:
        if _host(pod.network["address"]) == _host(network.address):
            raise UsageError(
                f"{_host(network.address)} is pod {pod.name}'s",
                place=where,
                hint="give another address",
            )
    allowed = admin.permitted()
    if allowed is not None:
        allowed.check_link(
            network.mode, network.device, network.address, network.mac, used=len(live)
        )
    taken = {pod.network.get("mac") for pod in live}
    if network.mac is not None:
        network = replace(network, mac=_chosen(network.mac, taken, where))
    return network


def _host(address: str) -> str:
    return address.partition("/")[0]


def _chosen(pattern: str, taken: set[Any], where: str) -> str:
    """An address of that pattern that no live pod has."""
    for _ in range(64):
        parts = [
            f"{secrets.randbits(8):02x}" if part == "**" else part for part in pattern.split(":")
        ]
        if pattern.startswith("**"):
            parts[0] = f"{int(parts[0], 16) & 0xFC | 0x02:02x}"  # no vendor's, no multicast
        mac = ":".join(parts)
        if mac not in taken:
            return mac
    raise UsageError(f"another pod has hardware address {pattern}", place=where)


def settled(
    plan: JailPlan, profile: Profile, pods: Iterable[Pod], state_dir: str
) -> tuple[JailPlan, Given]:
    """``plan`` with its network as it will be, and what the monitor is given to make it. Raises
    UsageError where the caller may not have it; nothing is touched."""
    plan, fds = _settled(plan, profile, pods, state_dir)
    return plan, Given(plan.network, fds)


def foretold(plan: JailPlan, profile: Profile, pods: Iterable[Pod], state_dir: str) -> JailPlan:
    """The same for a pod that is not to be started."""
    plan, fds = _settled(plan, profile, pods, state_dir)
    for fd in fds:
        os.close(fd)
    return plan


def _settled(
    plan: JailPlan, profile: Profile, pods: Iterable[Pod], state_dir: str
) -> tuple[JailPlan, tuple[int, ...]]:
    where = profile.source or profile.name
    network = checked(plan.network, where, pods)
    notes = plan.notes
    if network.log is not None:
        notes = (*notes, f"its traffic is logged below {state_dir}/net")
    if network.mode == "user" and not resolvers():
        notes = (*notes, "no names: the host's only nameserver is on its loopback")
    fds: tuple[int, ...] = ()
    if profile.run.cmdr is not None:
        found = admin.commands(profile.run.cmdr, where)
        network, fds = replace(network, gizmos=found.gizmos), found.fds
    return replace(plan, network=network, notes=notes), fds


class Given:
    """What a monitor is given for its pod's network: descriptors, in the order of
    ``monitor/network.py``. Owns them until ``close``."""

    def __init__(self, network: Network, gizmo_fds: Iterable[int]) -> None:
        self.fds = list(gizmo_fds)
        try:
            if network.mode in LINKS:
                self.fds.insert(0, _maker(network))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Once the monitor has them, or never will: a maker of links ends with the last copy."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


def _maker(network: Network) -> int:
    """Start the process that makes a link; the connection to it."""
    ours, theirs = socket.socketpair()
    asked = {
        "kind": network.mode,
        "device": network.device,
        "address": network.address,
        "mac": network.mac,
    }
    with ours, theirs:
        argv = helper.command("podsh.kernel.net", str(theirs.fileno()), json.dumps(asked))
        maker = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=helper.ENVIRONMENT,
        )
        threading.Thread(target=maker.wait, daemon=True).start()  # buried when it ends
        return ours.detach()


def resolvers() -> str:
    """A resolv.conf of the nameservers that can be reached from a pod of mode ``user``; empty
    where there is none."""
    for path in _NAMESERVERS:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = file.read(1 << 16).splitlines()
        except OSError:
            continue
        found = [line for line in lines if not _on_loopback(line)]
        if any(line.split()[:1] == ["nameserver"] for line in found):
            return "\n".join(found) + "\n"
    return ""


def _on_loopback(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] == "nameserver" and words[1].startswith(("127.", "::1"))
