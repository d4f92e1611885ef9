"""The dialog about requests, without a terminal: what it shows, and what each key does. Pure.

Nothing is given by a key that could have been meant for something else: y, Enter, Space and pastes
do nothing, and the keys that give wait until the person can have read what they would give.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.console import asking
from podsh.console.events import raw_path
from podsh.console.render import INDENT, cells, show, show_domain, show_text, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = dict[str, Any]

# after every change of what is shown, so long nothing is given
ARM_S = 0.4
_GRANTING = {"o": "once", "p": "pod", "s": "save"}
_LATER = ("escape", "c-c", "c-d", "c-]", "q")
_SHORTER, _LONGER = ("left", "up", "backspace", "c-h"), ("right", "down")
# a longer command line goes below the rule, so that it pushes nothing out of sight
_ARGV_LINES = 3
# columns and rows below which keys are shown without their words
_SMALL = (50, 12)
# and below which that is said
_WHOLE = (60, 15)


class Act(NamedTuple):
    """What a key asks for: ``what`` is "allow", "deny" or "leave"."""

    what: str
    row: Row | None = None
    fields: Mapping[str, Any] = MappingProxyType({})


class Review:
    """Which request is looked at, with what scope; times are seconds of any one clock."""

    def __init__(self, home: str, ident: int | None = None) -> None:
        self.home = home
        self.waiting: list[Row] = []
        self.row: Row | None = None
        self.gone = ""  # why the one looked at can no longer be answered
        self.message = ""
        self.path = self.mode = ""
        # profiles that could be written to, by request: (names, why there are none)
        self.targets: dict[int, tuple[list[str], str]] = {}
        self._wanted = ident
        self._editing = self._choosing = False
        self._top = self._rows = self._room = 0
        self._seen_end = False
        self._shown: tuple[object, ...] = ()
        self._armed_at = float("inf")

    # -- what there is

    def update(self, rows: Sequence[Row]) -> None:
        """The requests as they are now, the decided ones too."""
        self.waiting = [row for row in rows if row.get("state") == asking.WAITING]
        if self.row is None:
            first = [row for row in self.waiting if row["id"] == self._wanted] or self.waiting
            if first:
                self._look_at(first[0])
            return
        now = next((row for row in rows if row["id"] == self.row["id"]), None)
        if now is None:
            self.gone = "is gone"
        elif now.get("state") != asking.WAITING:
            self.gone = asking.ended(now)

    def _look_at(self, row: Row) -> None:
        self.row, self.gone = row, ""
        self.mode, self.path = asking.wants(row)
        self._editing = self._choosing = False
        self._top, self._seen_end = 0, False

    def next(self, message: str = "") -> bool:
        """Go on to the next that waits; False where there is none."""
        self.message = message
        others = [row for row in self.waiting if self.row is None or row["id"] != self.row["id"]]
        if not others:
            return False
        later = [row for row in others if self.row is not None and row["id"] > self.row["id"]]
        self._look_at((later or others)[0])
        return True

    # -- keys

    def key(self, key: str, now: float, alone: bool = True) -> Act | None:
        """What a key does. alone: no other came with it, as in a paste."""
        granting = self._gives(key)
        if granting is None or not alone:
            self._armed_at = now + ARM_S
        if granting is not None:
            return self._give(granting, key) if alone and self.armed(now) else None
        if key in _LATER:
            return self._later(key)
        if key == "c-i":
            return None if self.next() or not self.gone else Act("leave")
        if self.gone or self.row is None:
            return None
        if key in ("n", "N"):
            return Act("deny", self.row, {"always": key == "N"})
        if self._editing:
            self._edit(key)
        elif key in ("pagedown", "down", "pageup", "up"):
            step = max(self._room - 1, 1) if key.startswith("page") else 1
            self._scroll(step if key.endswith("down") else -step)
        elif key == "d":
            self._directory()
        elif key == "r":
            self._read_only()
        elif key == "e":
            self._editing, self.message = True, ""
        elif key == "s":
            self._save()
        return None

    def armed(self, now: float) -> bool:
        """Whether the keys that give are live."""
        return not self.gone and self._seen_end and now >= self._armed_at

    @property
    def armed_at(self) -> float:
        return self._armed_at

    def _names(self) -> list[str]:
        return self.targets.get(self.row["id"], ([], ""))[0] if self.row is not None else []

    def _gives(self, key: str) -> str | None:
        """The scope that a key gives now; None for a key that gives nothing."""
        if self.row is None or self._editing:
            return None
        if self._choosing:
            chosen = key.isdigit() and key.isascii() and 1 <= int(key) <= len(self._names())
            return "save" if chosen else None
        if key == "s" and len(self._names()) != 1:
            return None
        return _GRANTING.get(key)

    def _give(self, scope: str, key: str) -> Act:
        assert self.row is not None
        fields: dict[str, Any] = {"scope": scope, "read": self.mode != asking.wants(self.row)[0]}
        if self.path != asking.wants(self.row)[1]:
            fields["dir"] = self.path
        if scope == "save":
            fields["profile"] = self._names()[int(key) - 1 if self._choosing else 0]
        return Act("allow", self.row, fields)

    def _later(self, key: str) -> Act | None:
        if key == "escape" and (self._editing or self._choosing):
            self._editing = self._choosing = False
            return None
        return Act("leave")

    def _scroll(self, step: int) -> None:
        self._top = min(max(self._top + step, 0), max(self._rows - self._room, 0))

    def _directory(self) -> None:
        assert self.row is not None
        mode, path = asking.wants(self.row)
        if mode == "connect":
            self.message = "a socket is given by itself"
        elif self.path != path:
            self.path, self.message = path, ""
        else:
            self._widen(os.path.dirname(path))

    def _widen(self, directory: str) -> None:
        assert self.row is not None
        path = asking.wants(self.row)[1]
        self.message = asking.may_widen(directory, path, self.home)
        if not self.message:
            self.path = directory

    def _read_only(self) -> None:
        assert self.row is not None
        wanted = asking.wants(self.row)[0]
        if wanted != "write":
            self.message = f"it asks to {wanted} only"
        else:
            self.mode, self.message = ("read" if self.mode == "write" else "write"), ""

    def _edit(self, key: str) -> None:
        """The path gets shorter or longer by a component; nothing else can be a rule for it."""
        assert self.row is not None
        mode, path = asking.wants(self.row)
        if key in ("c-m", "c-j", "e"):
            self._editing, self.message = False, ""
        elif key in _SHORTER and mode == "connect":
            self.message = "a socket is given by itself"
        elif key in _SHORTER:
            self._widen(os.path.dirname(self.path))
        elif key in _LONGER and self.path != path:
            after = path[len(self.path) :].lstrip("/").partition("/")[0]
            self.path, self.message = os.path.join(self.path, after), ""

    def _save(self) -> None:
        assert self.row is not None
        names, reason = self.targets.get(self.row["id"], ([], "one moment"))
        if names:
            self._choosing, self.message = True, ""
        else:
            self.message = reason

    # -- what is shown

    def draw(self, width: int, height: int, now: float) -> tuple[list[str], list[str]]:
        """(the lines above, the lines of keys). Nothing of a path or command line is left out:
        what does not fit is scrolled to, and nothing is given before that."""
        small = width < _SMALL[0] or height < _SMALL[1]
        foot, head = self._foot(width, small), self._head(width)
        if width < _WHOLE[0] or height < _WHOLE[1]:
            foot.append("(below 60x15)"[:width])
        texts = self._body(width)
        body = [line for text in texts for line in wrapped(text, width, INDENT)]
        if small or len(head) > 2:  # a line of it is worth more there
            head, body = [], head + body
        self._rows, self._room = len(body), max(height - len(foot) - len(head), 1)
        if self._rows > self._room:
            self._room = max(self._room - 1, 1)  # a line says that there is more
        self._scroll(0)
        content = (body, width, height)
        if content != self._shown[:3]:
            self._seen_end = False
        self._seen_end |= self._top + self._room >= self._rows
        if (*content, foot, self._top) != self._shown:
            self._shown = (*content, foot, self._top)
            self._armed_at = now + ARM_S
        lines = [*head, *body[self._top : self._top + self._room]]
        if self._rows > self._room:
            left = self._rows - self._room - self._top
            more = f"-- {left} more: PgDn" if left else "-- the end: PgUp"
            if not self._seen_end:
                more += " (nothing is given before the end)"
            lines.append(more[:width])
        return lines, foot

    def _head(self, width: int) -> list[str]:
        if self.row is None:
            return ["-- requests "[:width].ljust(width, "-")]
        ids = [row["id"] for row in self.waiting]
        number = ids.index(self.row["id"]) + 1 if self.row["id"] in ids else "-"
        left = f"-- request {self.row['id']} ({number} of {len(ids)}) "
        right = f" pod {show(str(self.row.get('pod', '?')))}"
        if self.row.get("domain"):
            right += f", domain {show_domain(str(self.row['domain']))}"
        dashes = "-" * max(width - cells(left) - cells(right), 2)
        return wrapped(left + dashes + right, width)

    def _body(self, width: int) -> list[str]:
        if self.row is None:
            return ["No requests wait."]
        if self.gone:
            return [f"{self.row['id']} gone" if "gone" in self.gone else
                    f"{self.row['id']} {self.gone}"]  # fmt: skip
        asker = asking.asker(self.row)
        rule = [f"rule to add:  {asking.rule(self.mode, self.path)}"]
        if self.row.get("to") and self.path == raw_path(self.row):
            rule = [f"a yes moves the pod to domain {show_domain(str(self.row['to']))}"]
        if len(wrapped(asker, width, INDENT)) > _ARGV_LINES:
            return [*self._wish(), *rule, f"asked by:  {asker}"]
        return [asker, *self._wish(), *rule]

    def _wish(self) -> list[str]:
        """``wants to WRITE a file (exists):`` and the path in full."""
        assert self.row is not None
        row, (mode, path) = self.row, asking.wants(self.row)
        kind = show_text(str(row.get("object", "file")))
        named = raw_path(row, "link") if row.get("link") else ""
        if row.get("exists") is False:
            lines = [f"wants to {mode.upper()} in a directory:", f"  {show(path)}"]
            lines += [f"  to make or remove {show(named)}"] if named else []
        else:
            there = " (exists)" if mode == "write" else ""
            verb = {"connect": "CONNECT to"}.get(mode, show_text(mode.upper()))
            lines = [f"wants to {verb} a {kind}{there}:", f"  {show(path)}"]
            lines += [f"  asked for as {show(named)}"] if named and named != path else []
        letters = asking.foreign_letters(path)
        lines += [f"  {letters}"] if letters else []
        count = row.get("count")
        lines += [f"  asked {count} times"] if isinstance(count, int) and count > 1 else []
        return lines

    def _foot(self, width: int, small: bool) -> list[str]:
        if self.gone or self.row is None:
            items = ["Tab next" if len(self.waiting) else "Tab done", "Esc close"]
        elif self._editing:
            items = ["Left shorter", "Right longer", "Enter done", "Esc back"]
        elif self._choosing:
            names = self._names()
            items = ["save to:", *(f"{at} {_target(name)}" for at, name in enumerate(names, 1))]
            items.append("Esc back")
        else:
            names, reason = self.targets.get(self.row["id"], ([], ""))
            save = f"s save to {_target(names[0])}" if len(names) == 1 else "s save to …"
            if reason and not names:
                save = "(s not saved)"
            items = ["o once", "p this pod", save, "n deny", "N deny in this pod"]
            items += ["d file/directory", "r read only", "e edit path", "Tab next", "Esc later"]
            if small:
                items = [item.partition(" ")[0] for item in items]
        lines = [""]
        for item in items:
            if lines[-1] and cells(lines[-1]) + 2 + cells(item) > width:
                lines.append("")
            lines[-1] += ("  " if lines[-1] else "") + item
        message = wrapped(show_text(self.message), width)[: 1 if small else 4]
        return [
            *(message if self.message else []),
            *(part for line in lines for part in wrapped(line, width)),
        ]


def _target(name: str) -> str:
    """A profile to save in; ``base`` is a part of all."""
    return show(name, 30) + (" (every pod)" if name == "base" else "")
