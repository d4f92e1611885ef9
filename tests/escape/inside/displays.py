"""Displays: those that the pod was not given, and the abstract names of all of them.

facts: ``other_display`` and ``display``, listening sockets' files in /tmp/.X11-unix, each with an
abstract twin; ``other_cookie``, in hex, of the first one: it lies in ``authorities``.
"""

from __future__ import annotations

import os
import socket

from tools import facts


def _connects(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(3)
        client.connect(address)
    return True


def other_display() -> bool:
    return _connects(facts["other_display"])


def other_display_abstract() -> bool:
    return _connects("\0" + facts["other_display"])


def display_abstract() -> bool:
    """The display's own: a server that anybody may have put there."""
    return _connects("\0" + facts["display"])


def other_display_by_parent() -> bool:
    """By a way around the directory that the pod is shown."""
    name = os.path.basename(facts["other_display"])
    with socket.socket(socket.AF_UNIX) as client:
        os.chdir("/tmp/.X11-unix")
        client.connect(f"../.X11-unix/./{name}")
    return True


def other_cookie() -> bool:
    """In the files that X clients look into."""
    paths = {os.environ.get("XAUTHORITY", ""), os.path.expanduser("~/.Xauthority")}
    paths.add(facts["authorities"])
    for path in paths:
        try:
            with open(path, "rb") as file:
                if bytes.fromhex(facts["other_cookie"]) in file.read():
                    return True
        except OSError:
            continue
    return False
