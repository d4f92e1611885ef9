"""Programs of the system's that podsh uses where they are installed."""

from __future__ import annotations

import os

from podsh.kernel.finding import Finding

XEPHYR, XVFB = "Xephyr", "Xvfb"
# what the profile base shows of programs
_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


def find(name: str) -> str | None:
    """The path of a program, for whoever calls podsh; None: it is not installed."""
    for directory in _PATH:
        path = f"{directory}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def findings() -> list[Finding]:
    """What of them is there."""
    servers = [name for name in (XEPHYR, XVFB) if find(name)]
    missing = [name for name in (XEPHYR, XVFB) if name not in servers]
    packages = {XEPHYR: "xserver-xephyr", XVFB: "xvfb"}
    return [
        Finding(
            "nested-x11",
            None if missing else True,
            ", ".join(servers) or "not installed",
            "run --x11 nested: Xephyr shows an X server of the pod's own in a window, Xvfb nowhere",
            " ".join(("sudo apt-get install", *(packages[name] for name in missing)))
            if missing
            else "",
        )
    ]
