"""Path patterns: ``*`` and ``?`` match within one component, a match covers all below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from podsh.globs import is_glob, matches
from podsh.policy.access import NOWHERE, Where, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Pattern(NamedTuple):
    """An absolute pattern and the line that has it."""

    text: str
    where: Where = NOWHERE


def covers(pattern: str, path: str) -> bool:
    """Whether ``path`` is what ``pattern`` matches, or below it."""
    globs, parts = split(pattern), split(path)
    return len(globs) <= len(parts) and all(map(matches, parts, globs))


def touches(pattern: str, path: str) -> bool:
    """Whether ``pattern`` can match something at ``path``, below it or above it."""
    return all(matches(part, glob) for glob, part in zip(split(pattern), split(path), strict=False))


class _Node:
    __slots__ = ("globs", "kids", "mask", "text")

    def __init__(self) -> None:
        self.mask = 0
        self.text = ""  # the pattern that ends here
        self.kids: dict[str, _Node] = {}
        # (what a match begins with, what it ends with: the cheap half, the glob, its node)
        self.globs: list[tuple[str, str, str, _Node]] = []


class Patterns:
    """Many patterns, each with a mask of whom it is of, looked up in one walk."""

    __slots__ = ("_nodes", "_root")

    def __init__(self) -> None:
        self._root = _Node()
        self._nodes: dict[str, _Node] = {}

    @classmethod
    def numbered(cls, patterns: Iterable[Pattern]) -> Patterns:
        """Bit n of a mask is the n-th pattern."""
        found = cls()
        for number, pattern in enumerate(patterns):
            found.add(pattern.text, 1 << number)
        return found

    def __bool__(self) -> bool:
        return bool(self._nodes)

    def add(self, text: str, mask: int) -> None:
        """Raises UsageError for what is no absolute path."""
        if (node := self._nodes.get(text)) is None:
            node = self._root
            plain = not is_glob(text)
            for part in split(text):
                if plain or not is_glob(part):
                    if (kid := node.kids.get(part)) is None:
                        kid = node.kids[part] = _Node()
                    node = kid
                else:
                    node = _glob_kid(node, part)
            node.text = text
            self._nodes[text] = node
        node.mask |= mask

    def masks(self) -> Iterator[tuple[str, int]]:
        """Each pattern's text, and whose it is."""
        return ((text, node.mask) for text, node in self._nodes.items())

    def hits(self, parts: Sequence[str]) -> int:
        """The masks of all patterns that cover the path of these components, together."""
        found = self._root.mask
        nodes = [self._root]
        for part in parts:
            if not (nodes := _below(nodes, part)):
                break
            for node in nodes:
                found |= node.mask
        return found

    def which(self, parts: Sequence[str], mask: int) -> str:
        """The text of one pattern of ``mask`` that covers the path; "" if there is none."""
        nodes = [self._root]
        for part in [*parts, ""]:
            for node in nodes:
                if node.mask & mask:
                    return node.text
            nodes = _below(nodes, part)
        return ""


def _below(nodes: Iterable[_Node], part: str) -> list[_Node]:
    found = []
    for node in nodes:
        if part in node.kids:
            found.append(node.kids[part])
        for start, end, glob, kid in node.globs:
            if part.startswith(start) and part.endswith(end) and matches(part, glob):
                found.append(kid)
    return found


def _glob_kid(node: _Node, glob: str) -> _Node:
    for _, _, known, kid in node.globs:
        if known == glob:
            return kid
    special = [at for at, c in enumerate(glob) if c in "*?"]
    node.globs.append((glob[: special[0]], glob[special[-1] + 1 :], glob, _Node()))
    return node.globs[-1][3]
