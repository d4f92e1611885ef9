"""What policy tells: frozen events for the audit, the console and ``events --json``."""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from podsh.policy.access import Access, Mode
    from podsh.policy.state import Rule

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``ts``: seconds since the epoch. ``pid``: the process in the pod, 0 if none was the cause."""

    ev: ClassVar[str]
    pod: str
    ts: float
    pid: int = 0

    def to_wire(self) -> dict[str, Any]:
        """JSON-able. Where a path is not UTF-8, its bytes are beside it as ``path_b64``."""
        found: dict[str, Any] = {"v": VERSION, "ts": self.ts, "ev": self.ev}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "ts" or value is None:
                continue
            if field.name == "rule":
                value = rule_to_wire(value)
            elif field.name == "add":
                value = [access_to_wire(access) for access in value]
            elif field.name == "path":
                found |= path_to_wire(value)
                continue
            elif isinstance(value, tuple):
                value = [_text(item) for item in value]
            elif isinstance(value, str):
                value = _text(value)
            found[field.name] = value
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Event):
    """The pod moved: from one domain's name to another's, because of ``path``."""

    ev: ClassVar[str] = "transition"
    old: str
    new: str
    path: str
    mode: Mode
    add: tuple[Access, ...] = ()
    rule: Rule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Event):
    """A person is to decide. ``id`` is never reused. ``to``: the domain that a yes leads to."""

    ev: ClassVar[str] = "request"
    id: int
    path: str
    mode: Mode
    argv: tuple[str, ...] = ()
    to: str = ""
    rule: Rule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted(Event):
    """The person gave access. ``id``: the request that it answers. ``scope``: "once", "pod",
    "save", or "mount" for what was given unasked."""

    ev: ClassVar[str] = "grant"
    path: str
    mode: Mode
    scope: str
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked(Event):
    """The person took it back."""

    ev: ClassVar[str] = "revoke"
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied(Event):
    """By a rule, or by the person (``rule`` None), to request ``id`` if it was one."""

    ev: ClassVar[str] = "denial"
    path: str
    mode: Mode
    id: int | None = None
    rule: Rule | None = None


def path_to_wire(path: str) -> dict[str, str]:
    """``path``, and ``path_b64`` beside it where the name is not UTF-8."""
    safe = _text(path)
    if safe == path:
        return {"path": path}
    return {"path": safe, "path_b64": base64.b64encode(_raw(path)).decode("ascii")}


def rule_to_wire(rule: Rule) -> dict[str, Any]:
    found = {"key": rule.key, "domain": rule.domain, "text": rule.text, "file": rule.where.file}
    return {key: _text(text) for key, text in found.items() if text} | (
        {"line": rule.where.line} if rule.where.line else {}
    )


def access_to_wire(access: Access) -> dict[str, Any]:
    return {**path_to_wire(access.path), "mode": "write" if access.write else "read"}


def _text(text: str) -> str:
    """The text with bytes that are not UTF-8 (os.fsdecode's surrogates) shown as U+FFFD."""
    return text if text.isascii() else _raw(text).decode("utf-8", "replace")


def _raw(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a pair, which no file's name gives, but JSON can
        return text.encode("utf-8", "replace")
