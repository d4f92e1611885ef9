"""What one profile file says, typed and checked, before ``extends`` and ``~`` are followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from podsh.profiles.schema import Where


class Setting(NamedTuple):
    """One value and the line that gives it."""

    value: Any
    where: Where


class RawBind(NamedTuple):
    """A bind as written. ``label`` names it in messages; ``literal``: only a leading ~ expands."""

    path: str
    where: Where
    label: str
    dst: str | None = None
    write: bool = False
    exec: bool = True
    suid: bool = False
    dev: bool = False
    optional: bool = False
    literal: bool = False


@dataclass(slots=True)
class Layer:
    """One file. ``settings`` by dotted key (``"run.cmd"``), only those that it gives."""

    file: str
    name: str
    description: str = ""
    dialect: Literal["toml", "pod"] = "toml"
    extends: list[Setting] = field(default_factory=list)
    settings: dict[str, Setting] = field(default_factory=dict)
    binds: list[RawBind] = field(default_factory=list)
    ask: list[Setting] = field(default_factory=list)
    deny: list[Setting] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
