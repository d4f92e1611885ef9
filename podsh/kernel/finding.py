"""One thing that was found out about this machine, and how commands that mend it are spelt."""

from __future__ import annotations

import os
from typing import NamedTuple


class Finding(NamedTuple):
    """One feature.

    ok: True: there. False: lacking, and podsh cannot work. None: lacking, and podsh works
    without it, as ``means`` says. have: what was found. mend: the exact command.
    """

    name: str
    ok: bool | None
    have: str
    means: str
    mend: str = ""


def sysctl(name: str) -> str | None:
    """The value of a sysctl, ``name`` with slashes; None where the kernel has none or hides it."""
    try:
        with open(f"/proc/sys/{name}", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def as_root(command: str) -> str:
    """``{sudo}`` in a command filled in: nothing for root."""
    return command.replace("{sudo}", "" if os.geteuid() == 0 else "sudo ")


def set_sysctl(name: str, value: str) -> str:
    """The command that sets a sysctl now and at every boot."""
    file = "/etc/sysctl.d/60-podsh.conf"
    line = f"{name.replace('/', '.')} = {value}"
    return as_root(f"echo '{line}' | {{sudo}}tee -a {file} && {{sudo}}sysctl -p {file}")


def newer_kernel(version: str) -> str:
    """What mends the lack of a feature that came with ``version``."""
    return f"boot Linux {version} or newer"
