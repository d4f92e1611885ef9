"""The system calls of a pod, as its profile names them -> as this machine's filter needs them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from podsh.errors import UsageError
from podsh.kernel import abis, callnames, syscalls, whitelist
from podsh.profiles import calls, values
from podsh.profiles.words import Bad

if TYPE_CHECKING:
    from podsh.filtering import Filter
    from podsh.operations import JailPlan
    from podsh.profiles.schema import Profile

BLACKLIST = "/etc/jettison/blacklist"
# what a command line may say over its profile, and of which type it is
_SETTINGS: dict[str, type] = {
    "seccomp.strict": bool,
    "seccomp.blacklist": bool,
    "seccomp.new_filters": bool,
    "seccomp.ptrace": bool,
    "run.procname": str,
    "run.clear_env": bool,
    "run.stack": int,
    "run.init": str,
    "run.daemon": bool,
    "run.logoutput": bool,
    "net.log": list,
}


def with_settings(profile: Profile, settings: dict[str, Any]) -> Profile:
    """``profile`` with some of its settings as the command line has them."""
    for key, value in settings.items():
        kind = _SETTINGS.get(key)
        if kind is None or not isinstance(value, kind):
            raise UsageError(f"no such setting: {key!a}", place="run")
        if key == "net.log":
            value = _log(value)
        table, _, name = key.partition(".")
        tables: dict[str, Any] = {table: replace(getattr(profile, table), **{name: value})}
        profile = replace(profile, **tables)
    return profile


def _log(value: object) -> tuple[int, int]:
    try:
        return values.log(value)
    except Bad as bad:
        raise UsageError(bad.cause, place="--lognet", hint=bad.hint) from None


def settled(plan: JailPlan, profile: Profile, blacklist: str | None = None) -> JailPlan:
    """``plan`` with its filter's names made this machine's, and a note of what that changed.

    blacklist: the file to read where the profile's ``blacklist`` is on. UsageError for a name that
    is no call anywhere, and for an ABI that this machine does not have.
    """
    asked = plan.filter
    arch = syscalls.native()
    if arch not in syscalls.NAMES:
        return plan  # the filter says so
    foreign = abis.FOREIGN[arch]
    for abi in asked.abi:
        if abi not in foreign:
            raise UsageError(
                f"[seccomp] abi has {abi}, which {arch} does not have",
                place=profile.source or profile.name,
                hint=f"it has: {', '.join(('native', *foreign))}",
            )
    names = _Names(arch, profile.source or profile.name, old=profile.dialect == "pod")
    found: Filter
    if profile.seccomp.blacklist:
        path = blacklist or BLACKLIST
        names.place = path
        listed = names.of(read_blacklist(path), refusing=True)
        found = replace(asked, allow=None, block=(), deny=listed, where=path)
    else:
        allow = None if asked.allow is None else names.of(asked.allow)
        found = replace(asked, allow=allow, block=names.of(asked.block, refusing=True))
    for call in whitelist.NEEDED:
        if call in found.block or call in found.deny:
            raise UsageError(
                f"{call} cannot be blocked",
                place=names.place,
                hint="it is what starts the pod's own program",
            )
    if asked.strict and found.allow is None and not found.deny and not asked.trace:
        names.notes.append("strict changes nothing: there is no list of calls to be outside of")
    return replace(plan, filter=found, notes=(*plan.notes, *names.notes))


def read_blacklist(path: str) -> tuple[str, ...]:
    """The calls of a blacklist file, a name a line. Raises UsageError."""
    try:
        with open(path, encoding="utf-8", errors="strict") as file:
            text = file.read(1 << 20)
    except (OSError, UnicodeDecodeError) as exc:
        why = os.strerror(exc.errno or 0) if isinstance(exc, OSError) else "is no text"
        raise UsageError(
            f"the blacklist: {why}", place=path, hint="write one call a line, or name another file"
        ) from None
    return calls.blacklist(text, path)


class _Names:
    """Lists of names, made this machine's; what a person should know is collected."""

    def __init__(self, arch: str, place: str, *, old: bool) -> None:
        self.arch = arch
        self.place = place
        self.old = old
        self.notes: list[str] = []

    def of(self, names: tuple[str, ...], *, refusing: bool = False) -> tuple[str, ...]:
        """The native calls. refusing: exactly these, no newer forms of them."""
        found = callnames.resolve(names, self.arch, old=self.old and not refusing)
        if found.unknown:
            # profiles and blacklists are checked when they are read
            raise UsageError(f"{found.unknown[0]!a} is no system call", place=self.place)
        if found.mapped:
            words = ", ".join(f"{name} is {_few(here)}" for name, here in found.mapped.items())
            self.notes.append(f"{self.place}: on {self.arch} {words}")
        if found.absent:
            words = ", ".join(found.absent)
            self.notes.append(f"{self.place}: left out, no call of {self.arch}: {words}")
        return found.calls


def _few(names: tuple[str, ...]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"
