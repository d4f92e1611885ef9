"""TOML -> Layer: every key known, typed and checked; StemJail's files are valid as they are.

An unknown key is an error, a near miss is suggested; each error has ``file:line``, the reason
and the mend. ``extends`` and expansion come later (merge.py).
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, NoReturn

from podsh.errors import UsageError
from podsh.profiles import values as v
from podsh.profiles.layer import Layer, RawBind, Setting
from podsh.profiles.scan import Lines, scan
from podsh.profiles.schema import Where
from podsh.profiles.words import Bad, near, quoted

if TYPE_CHECKING:
    from podsh.profiles.values import Checker

MAXBINDS = 4096
MAX_EXTENDS = 64

_DISPLAY: dict[str, Checker] = {"enabled": v.boolean, "nested": v.boolean}
TABLES: dict[str, dict[str, Checker]] = {
    "fs": {
        "home": v.choice(*v.HOMES),
        "home_exec": v.boolean,
        "tmp_exec": v.boolean,
        "proc": v.boolean,
        "machine_id": v.machine_id,
    },
    "run": {
        "cmd": v.command,
        "env": v.environment,
        "clear_env": v.boolean,
        "cwd": v.string,
        "procname": v.string,
        "stack": v.stack,
        "init": v.string,
        "daemon": v.boolean,
        "logoutput": v.boolean,
        "cmdr": v.script,
    },
    "seccomp": {
        "allow": v.calls,
        "block": v.calls,
        "strict": v.boolean,
        "blacklist": v.boolean,
        "abi": v.abis,
        "new_filters": v.boolean,
        "ptrace": v.boolean,
        "nesting": v.boolean,
    },
    "net": {
        "mode": v.choice(*v.NETS),
        "device": v.device,
        "address": v.address,
        "mac": v.mac,
        "log": v.log,
    },
    "caps": {"keep": v.capabilities},
    "limits": {
        "processes": v.count,
        "open_files": v.count,
        "memory": v.size,
        "cpu": v.cores,
        "file_size": v.size,
        "tmpfs": v.size,
        "ptys": v.count,
        "stack": v.stack,
    },
    "x11": _DISPLAY,
    "wayland": _DISPLAY,
    "access": {
        "domain": v.boolean,
        "transition": v.choice("auto", "ask"),
        "unlisted": v.choice("ask", "deny"),
        "ask": v.strings,
        "deny": v.strings,
        "shim": v.boolean,
        "confined": v.boolean,
        "unattended": v.choice("deny", "hold"),
    },
}
TOP = ("name", "description", "extends", *TABLES)
BIND: dict[str, Checker] = {
    "path": v.string,
    "dst": v.string,
    "write": v.boolean,
    "exec": v.boolean,
    "suid": v.boolean,
    "dev": v.boolean,
    "optional": v.boolean,
}
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def parse(text: str, file: str) -> Layer:
    """The layer that ``text`` describes; ``file`` is its name in messages. Raises UsageError."""
    lines = scan(text, file)
    return _Reader(file, lines).layer(_loads(text, file))


def _loads(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        found = _PLACE.match(str(exc))
        cause, line, column = found.groups() if found else (str(exc), None, None)
        at = line or text.count("\n") + 1
        raise UsageError(
            f"not valid TOML: {cause[:1].lower()}{cause[1:]}"
            + (f" (column {column})" if column else " (the file ends there)"),
            place=f"{file}:{at}",
            hint="see toml.io for the form",
        ) from None
    except (ValueError, RecursionError) as exc:  # numbers of thousands of digits
        cause = str(exc).partition(":")[0]
        raise UsageError(f"not valid TOML: {cause}", place=file, hint="shorten it") from None


class _Reader:
    """One document; knows the line of each key."""

    def __init__(self, file: str, lines: Lines) -> None:
        self.file = file
        self.lines = lines

    def where(self, *key: str | int) -> Where:
        return Where(self.file, self.lines.at(*key))

    def fail(self, bad: Bad, *key: str | int) -> NoReturn:
        raise UsageError(
            f"{label(key)} {bad.cause}", place=str(self.where(*key)), hint=bad.hint
        ) from None

    def check(self, checker: Checker, value: Any, *key: str | int) -> Any:
        try:
            return checker(value)
        except Bad as bad:
            self.fail(bad, *key)

    def layer(self, document: dict[str, Any]) -> Layer:
        for key in document.keys() - set(TOP):
            self.unknown(key, TOP)
        stem = os.path.basename(self.file).removesuffix(".toml")
        layer = Layer(
            self.file,
            self.check(v.name, document.get("name", stem), "name"),
            self.check(v.line_of_text, document.get("description", ""), "description"),
        )
        if "extends" in document:
            names = self.check(v.string_or_strings, document["extends"], "extends")
            if len(names) > MAX_EXTENDS:
                self.fail(Bad(f"names {len(names)} profiles", "extend fewer"), "extends")
            for index, text in enumerate(names):
                layer.extends.append(Setting(text, self.where("extends", index)))
        for table, checkers in TABLES.items():
            if table in document:
                self.table(layer, table, document[table], checkers)
        self.net(layer)
        return layer

    def table(self, layer: Layer, table: str, given: Any, checkers: dict[str, Checker]) -> None:
        if not isinstance(given, dict):
            self.fail(Bad(f"is {v.kind_of(given)}, not a table", f"write [{table}]"), table)
        for key, value in given.items():
            checker = checkers.get(key)
            if checker is None:
                if (table, key) != ("fs", "bind"):
                    self.unknown(key, [*checkers, *(["bind"] if table == "fs" else [])], table)
                self.binds(layer, value)
                continue
            found = self.check(checker, value, table, key)
            if checker is v.environment:
                found = {k: Setting(text, self.where(table, key, k)) for k, text in found.items()}
            elif table == "access" and key in ("ask", "deny"):
                patterns = layer.ask if key == "ask" else layer.deny
                patterns += (
                    Setting(text, self.where(table, key, index)) for index, text in enumerate(found)
                )
                continue
            layer.settings[f"{table}.{key}"] = Setting(found, self.where(table, key))

    def binds(self, layer: Layer, given: Any) -> None:
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            self.fail(Bad("is no array of tables", "write [[fs.bind]]"), "fs", "bind")
        if len(given) > MAXBINDS:
            self.fail(
                Bad(f"has {len(given)} binds, at most {MAXBINDS} fit", "bind what holds them"),
                "fs", "bind",
            )  # fmt: skip
        for index, item in enumerate(given):
            key = ("fs", "bind", index)
            for name, value in item.items():
                checker = BIND.get(name)
                if checker is None:
                    self.unknown(name, BIND, *key)
                self.check(checker, value, *key, name)
            if "path" not in item:
                self.fail(Bad("has no path", 'write path = "/…"'), *key)
            where = self.where(*key, "path")
            layer.binds.append(RawBind(where=where, label=label((*key, "path")), **item))

    def net(self, layer: Layer) -> None:
        """What a mode needs, and what only some modes take."""
        mode = layer.settings.get("net.mode")
        if mode is None:
            return
        needs = {"ipvlan": ("device", "address"), "macvlan": ("device", "address")}
        takes = {"ipvlan": ("device", "address"), "macvlan": ("device", "address", "mac")}
        for key in needs.get(mode.value, ()):
            if f"net.{key}" not in layer.settings:
                self.fail(
                    Bad(f"{quoted(mode.value)} needs {key}", f'write {key} = "…" below [net]'),
                    "net", "mode",
                )  # fmt: skip
        for key in ("device", "address", "mac"):
            if f"net.{key}" in layer.settings and key not in takes.get(mode.value, ()):
                self.fail(
                    Bad(f"goes not with mode {quoted(mode.value)}", "take one of them out"),
                    "net", key,
                )  # fmt: skip

    def unknown(self, key: str, known: Any, *table: str | int) -> NoReturn:
        """The error for a key that is not known at that place, with what may have been meant."""
        hint = near(key, known)
        if not hint:
            homes = [name for name, keys in TABLES.items() if key in keys and name not in table]
            if key in TABLES and table:
                homes = [key]
            hint = f"it belongs below [{homes[0]}]" if homes else f"known: {', '.join(known)}"
        inside = f" in {label(table)}" if table else ""
        raise UsageError(
            f"unknown key {quoted(key)}{inside}", place=str(self.where(*table, key)), hint=hint
        )


def label(key: tuple[str | int, ...]) -> str:
    """``fs.bind[2].path``"""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
