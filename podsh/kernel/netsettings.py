"""Programs and devices that pods' networks take: found or not, and what mends it."""

from __future__ import annotations

import os
import shutil

from podsh.kernel.finding import Finding, as_root

TUN = "/dev/net/tun"
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
# those that connect a pod of mode user, the first that is there
CONNECTORS = ("pasta", "slirp4netns")


def find(*programs: str) -> str:
    """The path of the first of them that is installed; "" without any."""
    return next(filter(None, (shutil.which(name, path=PROGRAMS) for name in programs)), "")


def tun_mend() -> str:
    """What makes the device usable for everybody."""
    return as_root(f"{{sudo}}modprobe tun && {{sudo}}chmod 0666 {TUN}")


def network_settings() -> list[Finding]:
    connector, logger = find(*CONNECTORS), find("tcpdump")
    usable = os.access(TUN, os.R_OK | os.W_OK)
    return [
        Finding(
            "network-connector",
            True if connector else None,
            connector or "neither pasta nor slirp4netns",
            "connects pods of --net user to the outside",
            as_root("{sudo}apt-get install passt"),
        ),
        Finding(
            "network-tun",
            True if usable else None,
            TUN if usable else f"{TUN} cannot be opened by you",
            "what connects pods of --net user opens it",
            tun_mend(),
        ),
        Finding(
            "network-log",
            True if logger else None,
            logger or "no tcpdump",
            "logs the traffic of pods: --lognet",
            as_root("{sudo}apt-get install tcpdump"),
        ),
    ]
