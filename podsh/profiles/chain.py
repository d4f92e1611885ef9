"""``extends`` followed: from one file to the layers of all that it builds on, each once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from podsh.errors import UsageError
from podsh.profiles import narrow
from podsh.profiles.words import quoted

if TYPE_CHECKING:
    from podsh.profiles.layer import Layer, Setting

MAX_DEPTH = 16
MAX_FILES = 64


class Source(Protocol):
    """Who finds and reads the files."""

    def layer(self, path: str) -> Layer: ...

    def parent(self, layer: Layer, parent: Setting) -> str: ...


class Chain:
    """The layers of a profile in ``layers``, what each extends before it.

    project: (folder, path of ``base``) where the profile came with a project; ``foreign`` is
    then the files that did.
    """

    def __init__(self, source: Source, project: tuple[str, str] | None = None) -> None:
        self.source = source
        self.project = project
        self.foreign: set[str] = set()
        self._order: dict[str, Layer] = {}
        self._trail: list[str] = []

    @property
    def layers(self) -> list[Layer]:
        return list(self._order.values())

    def follow(self, path: str) -> None:
        """Add the profile at ``path``. UsageError for a cycle (named in full) or a depth."""
        self._visit(path, self.project is not None)

    def _visit(self, path: str, foreign: bool) -> None:
        layer = self.source.layer(path)
        if foreign:
            self.foreign.add(path)
        self._trail.append(path)
        for parent in layer.extends:
            found = self._parent(layer, parent)
            from_project = False
            if foreign and self.project is not None:
                top, base = self.project
                from_project = found != base
                if from_project:
                    narrow.check_parent(parent, found, top)
            if found not in self._order:
                self._visit(found, from_project)
        if len(self._order) >= MAX_FILES:
            raise UsageError(
                f"extends more than {MAX_FILES} profiles", place=path, hint="extend fewer"
            )
        self._trail.pop()
        self._order[path] = layer

    def _parent(self, layer: Layer, parent: Setting) -> str:
        try:
            found = self.source.parent(layer, parent)
        except UsageError as exc:
            raise UsageError(
                f"extends {quoted(parent.value)}: {exc.cause}",
                place=str(parent.where),
                hint=exc.hint,
            ) from None
        if found in self._trail:
            loop = [*self._trail[self._trail.index(found) :], found]
            raise UsageError(
                f"extends itself: {' -> '.join(_names(loop))}",
                place=str(parent.where),
                hint="take one of them out",
            )
        if len(self._trail) >= MAX_DEPTH:
            raise UsageError(
                f"extends is more than {MAX_DEPTH} deep",
                place=str(parent.where),
                hint="extend what is needed directly",
            )
        return found


def _names(files: list[str]) -> list[str]:
    """Short names where these tell the files apart, else the paths."""
    stems = [os.path.splitext(os.path.basename(file))[0] for file in files]
    return stems if len(set(stems)) == len(set(files)) else files
