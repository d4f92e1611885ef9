"""``~``, ``$VAR`` and ``{cwd}`` in what a profile says, and what a path must be.

``$$`` is a plain ``$``. A ``$`` that begins no name stands for itself. Raises words.Bad.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from podsh.profiles.words import Bad, quoted

if TYPE_CHECKING:
    from podsh.profiles.schema import Context

PATH_MAX = 4096  # <linux/limits.h>, with the NUL
NAME_MAX = 255

_REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)|(\$\{)|\{cwd\}", re.ASCII)


class Expander:
    """Expands for one caller. ``environ`` None: variables of the environment may not be read."""

    __slots__ = ("_cwd", "ctx", "environ", "read")

    def __init__(self, ctx: Context, environ: dict[str, str] | None) -> None:
        self.ctx = ctx
        self.environ = environ
        self.read: dict[str, str] = {}  # the variables read so far
        self._cwd: str | None = None

    @property
    def used_cwd(self) -> bool:
        """Whether ``{cwd}`` was in anything expanded so far."""
        return self._cwd is not None

    def note(self, other: Expander) -> None:
        """Take what ``other``, for the same caller, has read as read here."""
        self.read |= other.read
        self._cwd = self._cwd or other._cwd

    def path(self, text: str, literal: bool = False) -> str:
        """An absolute, normal path that is not ``/``. literal: only a leading ``~`` expands."""
        if text.startswith("~") and text != "~" and not text.startswith("~/"):
            raise Bad(f"{quoted(text)} names another's home", "write its path in full")
        return absolute(self.value(text, literal))

    def value(self, text: str, literal: bool = False) -> str:
        """Any string with its references replaced, once."""
        home = ""
        if text == "~" or text.startswith("~/"):
            home, text = self.ctx.home, text[1:]
        if not literal and ("$" in text or "{cwd}" in text):
            text = _REFERENCE.sub(self._replace, text)
        return home + text

    def _replace(self, found: re.Match[str]) -> str:
        text = found.group()
        if text == "$$":
            return "$"
        if text == "{cwd}":
            if self._cwd is None:
                self._cwd = project(self.ctx)
            return self._cwd
        if found[3]:
            raise Bad("has a ${ that begins no variable", "write ${NAME}, or $$ for a plain $")
        name = found[1] or found[2]
        if name == "HOME":
            return self.ctx.home
        if self.environ is None:
            raise Bad(
                f"reads ${name}, which a profile that came with a project may not",
                "write the value itself",
            )
        value = self.environ.get(name)
        if value is None:
            raise Bad(f"uses ${name}, which is not set", f"set {name}, or write $$ for a plain $")
        self.read[name] = value
        return value


def project(ctx: Context) -> str:
    """What ``{cwd}`` stands for. Bad where that is ``/``, the home or above it."""
    cwd = os.path.normpath(ctx.cwd)
    if is_wide(cwd, ctx):
        what = "/" if cwd in ("/", "//") else f"{quoted(cwd)}: your home is there"
        raise Bad(f"uses {{cwd}}, which is {what}", "go to the project's own directory first")
    return cwd


def is_wide(directory: str, ctx: Context) -> bool:
    """Whether ``directory`` is ``/``, the home or above it, links followed."""
    real, home = os.path.realpath(directory), os.path.realpath(ctx.home)
    return real == "/" or below(home, real) or below(ctx.home, directory)


def below(path: str, top: str) -> bool:
    """Whether ``path`` is ``top`` or below it; both normal."""
    return path == top or path.startswith(top if top.endswith("/") else top + "/")


def absolute(text: str) -> str:
    """``text`` without empty and ``.`` components. Bad for what no bind can name."""
    if "\0" in text:
        raise Bad(f"{quoted(text)} contains NUL", "remove it")
    if not text.startswith("/"):
        raise Bad(
            f"{quoted(text)} is relative", "write an absolute path, or one that begins with ~/"
        )
    parts = [part for part in text.split("/") if part and part != "."]
    if ".." in parts:
        raise Bad(f'{quoted(text)} has ".." in it', "write the path that it leads to")
    if not parts:
        raise Bad(f"{quoted(text)} is the whole file system", "name a directory below it")
    path = "/" + "/".join(parts)
    if len(path) > NAME_MAX or not path.isascii():
        _check_bytes(path)
    return path


def _check_bytes(path: str) -> None:
    try:
        data = os.fsencode(path)
    except UnicodeEncodeError:
        raise Bad(f"{quoted(path)} cannot be a file's name", "write it in UTF-8") from None
    if len(data) >= PATH_MAX:
        raise Bad(f"is {len(data)} bytes long", f"a path has less than {PATH_MAX}")
    if max(map(len, data.split(b"/"))) > NAME_MAX:
        raise Bad(f"{quoted(path)} has a name of more than {NAME_MAX} bytes", "shorten it")


def pattern(text: str) -> str:
    """A path pattern: as ``absolute``, ``*`` and ``?`` within one component."""
    if "**" in text:
        raise Bad(f"{quoted(text)} has **", "a path contains what is below it: leave it out")
    if "[" in text:
        raise Bad(f"{quoted(text)} has a [", "only * and ? are special in a pattern; use ?")
    return absolute(text)
