"""The directories of profiles, and the files in them. Imports nothing that takes time."""

from __future__ import annotations

import os

from podsh import paths

SYSTEM = "/etc/podsh/profiles"
JETTISON = "/etc/jettison/pods"
ENDINGS = (".toml", ".pod")


def search_path(config_dir: str) -> list[str]:
    """The directories of profiles, the user's first; they need not exist."""
    return [os.path.join(config_dir, "profiles"), SYSTEM, paths.shared("profiles")]


def pod_directories(home: str) -> tuple[str, str]:
    """jettison's, of ``.pod`` files alone."""
    return os.path.join(home, ".pods"), JETTISON


def files(directory: str, endings: tuple[str, ...]) -> list[str]:
    """The profile files of a directory; a .toml before the .pod of its name."""
    try:
        names = [name for name in os.listdir(directory) if name.endswith(endings)]
    except OSError:
        return []
    return sorted((n for n in names if n[0] != "."), key=lambda n: (stem(n), n.endswith(".pod")))


def stem(path: str) -> str:
    """The name that a file gives its profile."""
    return os.path.splitext(os.path.basename(path))[0]


def stems(config_dir: str, home: str) -> list[str]:
    """The names of all that is there, unread."""
    found = {
        stem(name) for directory in search_path(config_dir) for name in files(directory, ENDINGS)
    }
    found |= {stem(name) for place in pod_directories(home) for name in files(place, ENDINGS[1:])}
    return sorted(found)
