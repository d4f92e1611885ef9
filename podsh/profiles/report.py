"""A profile in words: rows for ``profile show``, and what ``profile check`` remarks on. No output.

Strings are raw: whoever prints them makes them safe.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from podsh.profiles.schema import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podsh.profiles.schema import Bind


class Row(NamedTuple):
    """One line of ``show``: what, its values one by one, and the line that says so (may be "")."""

    key: str
    values: tuple[str, ...]
    where: str = ""


_TABLES = ("fs", "run", "seccomp", "net", "limits", "x11", "wayland", "access")
_APART = {"fs.bind", "access.deny", "access.ask", "run.cmd", "run.env"}


def rows(profile: Profile) -> list[Row]:
    """All that a profile says, defaults left out."""
    found = [Row("name", (profile.name,)), Row("file", (profile.source,))]
    if profile.description:
        found.append(Row("about", (profile.description,)))
    if profile.extends:
        found.append(Row("extends", profile.extends))
    if profile.run.cmd:
        found.append(Row("cmd", profile.run.cmd))
    found += [Row("env", (f"{key}={value}",)) for key, value in profile.run.env]
    found += _plain(profile)
    if profile.caps:
        found.append(Row("caps.keep", profile.caps))
    found += [
        Row("bind", _bind_words(bind), str(bind.where))
        for bind in sorted(profile.fs.bind, key=lambda bind: bind.dst or bind.path)
    ]
    for name, patterns in (("ask", profile.access.ask), ("deny", profile.access.deny)):
        found += [Row(name, (pattern.text,), str(pattern.where)) for pattern in patterns]
    return found


def remarks(profile: Profile) -> list[str]:
    """What a person should know of a profile that is valid: its notes, what would fail here."""
    found = list(profile.notes)
    if not profile.run.cmd and not profile.extends and profile.access.domain:
        found.append("no [run] cmd: each run must give a program after --")
    found += [
        f"{bind.where}: {bind.path} is not there, and not optional"
        for bind in profile.fs.bind
        if not bind.optional and "{cwd}" not in bind.path and not os.path.exists(bind.path)
    ]
    return found


def _plain(profile: Profile) -> Iterator[Row]:
    """The settings that differ from their defaults."""
    default = Profile("")
    for table in _TABLES:
        given, usual = getattr(profile, table), getattr(default, table)
        for name in type(given).__slots__:
            value = getattr(given, name)
            if f"{table}.{name}" not in _APART and value != getattr(usual, name):
                yield Row(f"{table}.{name}", _words(value))


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, bool):
        return (str(value).lower(),)
    if isinstance(value, tuple):
        return tuple(map(str, value))
    return ("none" if value is None else str(value) or "fresh",)


def _bind_words(bind: Bind) -> tuple[str, ...]:
    words = [bind.path]
    if bind.dst is not None:
        words += ["->", bind.dst]
    words.append("rw" if bind.write else "ro")
    words += [
        word
        for word, on in (
            ("noexec", not bind.exec),
            ("suid", bind.suid),
            ("dev", bind.dev),
            ("optional", bind.optional),
        )
        if on
    ]
    return tuple(words)
