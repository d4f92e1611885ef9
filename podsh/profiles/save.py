"""Writing profiles: a new one, one with a bind more (tomlkit keeps its comments); files replaced in
one step."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

from podsh.errors import UsageError
from podsh.profiles.expand import below
from podsh.profiles.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def new_profile(
    name: str,
    binds: Iterable[Mapping[str, Any]],
    extends: Sequence[str],
    description: str = "",
    *,
    home: str = "",
    cmd: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    net: str | None = None,
    x11: str | None = None,
    wayland: bool = False,
    domain: bool | None = None,
) -> str:
    """The text of a profile file.

    binds: tables as in ``[[fs.bind]]``, ``path`` absolute (and literal: what would expand is
    escaped). home: paths below it are written with ``~``. domain: where it is to be said. Raises
    UsageError for a string that no profile can say.
    """
    import tomlkit

    document = tomlkit.document()
    document.add("name", tomlkit.item(name))
    if description:
        document.add("description", tomlkit.item(description))
    if extends:
        document.add("extends", tomlkit.item(extends[0] if len(extends) == 1 else list(extends)))
    if cmd or env:
        run = tomlkit.table()
        if cmd:
            run.add("cmd", list(cmd))
        if env:
            run.add("env", {key: _escape(value) for key, value in env.items()})
        document.add("run", run)
    if net is not None:
        document.add("net", tomlkit.item({"mode": net}))
    if x11 is not None:
        document.add("x11", tomlkit.item({x11 or "enabled": True}))
    if wayland:
        document.add("wayland", tomlkit.item({"enabled": True}))
    if domain is not None:
        document.add("access", tomlkit.item({"domain": domain}))
    tables = tomlkit.aot()
    for bind in binds:
        tables.append(_fill(tomlkit.table(), bind, home))
    if len(tables):
        document.add("fs", tomlkit.table(is_super_table=True).add("bind", tables))
    return document.as_string().rstrip("\n") + "\n"


def with_bind(text: str, bind: Mapping[str, Any], home: str, at: int | None = None) -> str:
    """A profile's text with one more bind (a table as in ``[[fs.bind]]``), all else as it was.

    at: the number of the bind, among the file's, that becomes it instead. Raises UsageError.
    """
    import tomlkit

    document = tomlkit.parse(text)
    found: Any = document.get("fs", {}).get("bind")
    if found is not None and at is not None:
        for key, value in bind.items():
            if key != "path":
                found[at][key] = value
    elif found is None or not isinstance(found, tomlkit.items.Array):
        # tables may stand at the end of the file, whatever is before them
        tables = tomlkit.aot()
        tables.append(_fill(tomlkit.table(), bind, home))
        added = tomlkit.document().add("fs", tomlkit.table(is_super_table=True).add("bind", tables))
        gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        return text + gap + added.as_string().strip("\n") + "\n"
    else:
        inline = _fill(tomlkit.inline_table(), bind, home)
        if "\n" in found.as_string():
            found.add_line(inline, indent=_indent(found.as_string()))
        else:
            found.append(inline)
    return document.as_string()


def with_pod_bind(text: str, path: str, write: bool) -> str:
    """A ``.pod`` file's text with one more ``file`` line. Raises UsageError."""
    _escape(path)
    if " " in path or not path.isprintable():
        raise UsageError(
            f"{quoted(path)}: a path of a .pod file has no blanks",
            hint="save it in a TOML profile that extends this one",
        )
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}file {'rwx' if write else 'rx'} {path}\n"


def _fill(table: Any, bind: Mapping[str, Any], home: str) -> Any:
    for key, value in bind.items():
        table.add(key, _path(value, home) if key in ("path", "dst") else value)
    return table


def _indent(array: str) -> str:
    """How the lines of an array are indented."""
    for line in array.split("\n")[1:]:
        if line.strip() and line.strip() != "]":
            return line[: len(line) - len(line.lstrip())]
    return "  "


def write(path: str, text: str, *, force: bool = False, private: bool = False) -> None:
    """Put ``text`` at ``path`` in one step: a reader sees the old file or the new one.

    force: replace what is there (a link's target, its mode kept); else that is refused.
    private: mode 0600 instead of 0644. Missing directories are made, 0700. Raises UsageError.
    """
    path = os.path.realpath(path) if force else path
    temporary = f"{path}.{secrets.token_hex(4)}.new"
    mode = 0o600 if private else 0o644
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if force and os.path.exists(path):
            mode = os.stat(path).st_mode & 0o777
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600)
        try:
            with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fchmod(fd, mode)
                os.fsync(fd)
            if force:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)
        finally:
            if os.path.lexists(temporary):
                os.unlink(temporary)
    except FileExistsError:
        raise UsageError(
            "is there already", place=path, hint="edit it, or take another name"
        ) from None
    except OSError as exc:
        raise UsageError(f"cannot be written: {exc.strerror}", place=path) from None


def _path(path: str, home: str) -> str:
    if home and home != "/" and path != home and below(path, home):
        return "~" + _escape(path[len(home) :])
    return _escape(path)


def _escape(text: str) -> str:
    """``text`` so that it expands to itself."""
    if "{cwd}" in text:
        raise UsageError(f"{quoted(text)} cannot be written in a profile: {{cwd}} would expand")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{quoted(text)} is not UTF-8, and a profile is") from None
    return text.replace("$", "$$")
