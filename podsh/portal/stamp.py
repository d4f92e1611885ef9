"""Which podsh this is, to the file: a portal and a zygote of two would not understand each other.

Files change under a live portal: by an upgrade, or in a checkout.
"""

from __future__ import annotations

import binascii
import os

from podsh import paths
from podsh.errors import LaunchFailed

# read by clients alone, or not at all once it is built
_APART = frozenset(("__pycache__", "commands", "console", "native"))


def now() -> str:
    """Names, sizes and times of what portals, zygotes and monitors are made of."""
    top = paths.package_dir()
    built = (paths.init_binary(), paths.shim_library(), paths.monitor_library())
    found = [_line(path) for path in built]
    for directory, names, files in os.walk(top):
        names[:] = set(names) - _APART
        found += [_line(f"{directory}/{name}") for name in files if name.endswith(".py")]
    return f"{binascii.crc32(os.fsencode(''.join(sorted(found)))):08x}"


def _line(path: str) -> str:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return f"{path} -"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def changed() -> LaunchFailed:
    """What to say where it is another one by now."""
    return LaunchFailed(
        "podsh's files are not those that it began with",
        place="the running portal",
        hint="end it with: podsh shutdown (pods stay), then try again",
    )
