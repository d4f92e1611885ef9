"""What the administrator says of a user: permissions, ``cmdr`` scripts and their gizmos."""

from __future__ import annotations

import os
import pwd
import shlex
from typing import NamedTuple

from podsh.errors import UsageError
from podsh.kernel import caps, trusted
from podsh.nets import Gizmo
from podsh.profiles import permits

# the first that is there counts
USERS = ("/etc/podsh/users", "/etc/jettison/users")
CMDRS = "/etc/jettison/cmdrs"
GIZMOS = "/etc/jettison/gizmos"
_MAX_BYTES = 1 << 20
_MAX_COMMANDS = 64
# what commands are known for needing, over the pod's own network
_ADMIN, _ADMIN_RAW = ("net_admin",), ("net_admin", "net_raw")
_KNOWN: dict[str, tuple[str, ...]] = {
    "ip": _ADMIN,
    "tc": _ADMIN,
    "bridge": _ADMIN,
    "ethtool": _ADMIN,
    "ifconfig": _ADMIN,
    "route": _ADMIN,
    "nft": _ADMIN,
    "ipset": _ADMIN,
    "ebtables": _ADMIN,
    "arptables": _ADMIN,
    "iptables": _ADMIN_RAW,
    "ip6tables": _ADMIN_RAW,
    "iptables-restore": _ADMIN_RAW,
    "ip6tables-restore": _ADMIN_RAW,
    "xtables-multi": _ADMIN_RAW,
    "xtables-nft-multi": _ADMIN_RAW,
    "xtables-legacy-multi": _ADMIN_RAW,
    "tcpdump": ("net_raw",),
    "ping": ("net_raw",),
    "arping": ("net_raw",),
}


class Opened(NamedTuple):
    """The commands of a script, and a descriptor of each one's file: the caller's to close."""

    gizmos: tuple[Gizmo, ...]
    fds: tuple[int, ...]


def user_name() -> str:
    """Whose files count: by the uid, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def permitted() -> permits.Permits | None:
    """The caller's users file; None where there is none. Raises UsageError."""
    for directory in USERS:
        path = os.path.join(directory, user_name())
        text = _read(path)
        if text is not None:
            return permits.parse(text, path)
    return None


def commands(name: str, where: str) -> Opened:
    """The script ``name`` of the caller's, checked. where: who asks for it.

    Raises UsageError with ``file:line``.
    """
    path = os.path.join(CMDRS, user_name(), name)
    text = _read(path)
    if text is None:
        raise UsageError(
            f"asks for cmdr {name!a}, and {path} is not there",
            place=where,
            hint="an administrator writes it: a command a line",
        )
    allowed = permitted()
    gizmos: list[Gizmo] = []
    fds: list[int] = []
    try:
        for number, line in enumerate(text.split("\n"), 1):
            place = f"{path}:{number}"
            words = _words(line, place)
            if not words:
                continue
            if len(gizmos) == _MAX_COMMANDS:
                raise UsageError(f"more than {_MAX_COMMANDS} commands", place=place)
            fds.append(_gizmo(words[0], allowed, place))
            mask = caps.mask(*_caps(words[0], allowed))
            gizmos.append(Gizmo(os.path.join(GIZMOS, words[0]), tuple(words), mask, place))
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return Opened(tuple(gizmos), tuple(fds))


def _words(line: str, place: str) -> list[str]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError as exc:
        raise UsageError(str(exc), place=place, hint="close the quotes") from None
    if not line.rstrip("\r").replace("\t", " ").isprintable():
        raise UsageError("unprintable characters", place=place, hint="remove them")
    return words


def _gizmo(name: str, allowed: permits.Permits | None, place: str) -> int:
    if "/" in name or name.startswith("."):
        raise UsageError(f"{name!a} is no plain name", place=place, hint=f"a file of {GIZMOS}")
    if allowed is None or name not in allowed.gizmos:
        file = allowed.file if allowed else os.path.join(USERS[-1], user_name())
        raise UsageError(
            f"{name} is not allowed to you",
            place=place,
            hint=f"an administrator adds to {file}: gizmo {name}",
        )
    path = os.path.join(GIZMOS, name)
    try:
        fd = trusted.open_file(path, os.O_PATH)
    except OSError as exc:
        raise UsageError(
            f"{path}: {exc.strerror}", place=place, hint=f"an administrator puts {name} there"
        ) from None
    if not os.fstat(fd).st_mode & 0o111:
        os.close(fd)
        raise UsageError(f"{path} is not executable", place=place, hint=f"chmod 0755 {path}")
    return fd


def _caps(name: str, allowed: permits.Permits | None) -> tuple[str, ...]:
    named = allowed.gizmos.get(name) if allowed else None
    return named if named is not None else _KNOWN.get(name, ())


def _read(path: str) -> str | None:
    """The text of one of root's files; None where it is not there."""
    try:
        fd = trusted.open_file(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UsageError(f"cannot be read: {exc.strerror}", place=path) from None
    with os.fdopen(fd, "rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise UsageError("is too large", place=path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("is not UTF-8", place=path, hint="save the file as UTF-8") from None
