"""Where each key of a TOML document stands, and a guard before tomllib.

tomllib tells no lines, and some small documents exhaust it: keys of thousands of parts (quadratic
memory), deep nesting (recursion), endless numbers. One pass over the tokens finds the lines and
refuses these. It takes any text: what is not TOML is left to tomllib to say.
"""

from __future__ import annotations

import re
import tomllib
from typing import NoReturn

from podsh.errors import UsageError

# none of these is near what a profile needs
MAX_PARTS = 8
MAX_DEPTH = 16
MAX_ENTRIES = 20_000
MAX_WORD = 1_000

Key = tuple["str | int", ...]

# Possessive repeats: no text makes this backtrack. Unclosed strings end with the text or line.
_TOKEN = re.compile(
    r"""[ \t\r]++|\#[^\n]*+
    |(?P<newline>\n)
    |(?P<long>\"\"\"(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5})?|'''(?:[^']++|'(?!''))*+(?:'{3,5})?)
    |(?P<string>"(?:[^"\\\n]++|\\[^\n])*+"?|'[^'\n]*+'?)
    |(?P<word>[^\s\[\]{}=,.\#"']++)
    |(?P<sign>[\[\]{}=,.])
    |.""",
    re.VERBOSE | re.DOTALL,
)
_NEWLINE, _LONG, _STRING, _WORD, _SIGN = range(1, 6)
_LINE, _HEADER, _KEY, _VALUE = range(4)


class Lines:
    """The line of each key: ``at("fs", "bind", 2, "path")``."""

    __slots__ = ("_lines",)

    def __init__(self, lines: dict[Key, int]) -> None:
        self._lines = lines

    def at(self, *key: str | int) -> int:
        """The line of ``key``, else of what holds it, else 1."""
        for end in range(len(key), 0, -1):
            if line := self._lines.get(key[:end]):
                return line
        return 1


def scan(text: str, file: str) -> Lines:
    """Find the lines. Raises UsageError for what no profile needs and tomllib suffers from."""
    scanner = _Scanner(file)
    for token in _TOKEN.finditer(text):
        kind = token.lastindex
        if kind is not None:
            scanner.feed(kind, token.group())
    return Lines(scanner.lines)


def _unquoted(token: str) -> str:
    """The key that a quoted string is."""
    if token[0] == '"' and "\\" in token:
        try:
            return str(tomllib.loads(f"key={token}")["key"])
        except ValueError:  # tomllib will say so for the whole document
            pass
    return token[1:-1]


class _Scanner:
    """The state between tokens. ``stack``: open arrays (path, index), inline tables (path, -1)."""

    __slots__ = ("aot", "counts", "entries", "file", "line", "lines", "mode", "parts", "path",
                 "prefix", "stack")  # fmt: skip

    def __init__(self, file: str) -> None:
        self.file = file
        self.line = 1
        self.lines: dict[Key, int] = {}
        self.mode = _LINE
        self.stack: list[tuple[Key, int]] = []
        self.parts: list[str] = []  # of the key being read
        self.prefix: Key = ()  # the table of the last header
        self.path: Key = ()  # of the value being read
        self.aot = False  # the header being read is [[…]]
        self.counts: dict[Key, int] = {}  # tables so far in each array of tables
        self.entries = 0

    def feed(self, kind: int, token: str) -> None:
        if kind == _NEWLINE:
            self.line += 1
            if not self.stack:
                self.mode, self.parts = _LINE, []
        elif kind == _SIGN:
            self._sign(token)
        elif self.mode == _VALUE:
            if kind == _WORD and len(token) > MAX_WORD:
                self._refuse(f"a value has {len(token)} characters without quotes")
            if self.stack:
                self._element()
            self.line += token.count("\n") if kind == _LONG else 0
        else:
            self._part(_unquoted(token) if kind == _STRING else token)
            self.line += token.count("\n") if kind == _LONG else 0

    def _part(self, name: str) -> None:
        if self.mode == _LINE:
            self.mode, self.parts = _KEY, []
        self.parts.append(name)
        if len(self.parts) > MAX_PARTS:
            self._refuse(f"a key has more than {MAX_PARTS} parts")
        self._count()

    def _sign(self, sign: str) -> None:
        if self.mode == _LINE:
            if sign == "[":
                self.mode, self.aot, self.parts = _HEADER, False, []
        elif self.mode == _HEADER:
            if sign == "[":
                self.aot = True
            elif sign == "]" and self.parts:
                self._header()
        elif self.mode == _KEY:
            if sign == "=":
                base = self.stack[-1][0] if self.stack else self.prefix
                self.path = base
                for part in self.parts:
                    self.path = (*self.path, part)
                    self.lines.setdefault(self.path, self.line)
                self.mode, self.parts = _VALUE, []
            elif sign == "}":
                self._close()
        elif sign in "[{":
            if self.stack:
                self._element()
            if len(self.stack) == MAX_DEPTH:
                self._refuse(f"arrays and tables are nested more than {MAX_DEPTH} deep")
            self.stack.append((self.path, 0 if sign == "[" else -1))
            self.mode, self.parts = (_VALUE if sign == "[" else _KEY), []
        elif sign in "]}":
            self._close()
        elif sign == "," and self.stack:
            path, index = self.stack[-1]
            if index < 0:
                self.mode, self.parts = _KEY, []
            else:
                self.stack[-1] = (path, index + 1)
                self._count()

    def _element(self) -> None:
        path, index = self.stack[-1]
        if index >= 0:
            self.path = (*path, index)
            self.lines.setdefault(self.path, self.line)

    def _close(self) -> None:
        if self.stack:
            self.stack.pop()
        self.mode = _VALUE

    def _header(self) -> None:
        path: Key = ()
        for part in self.parts[:-1]:
            path = (*path, part)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
            self.lines.setdefault(path, self.line)
        path = (*path, self.parts[-1])
        if self.aot:
            self.lines.setdefault(path, self.line)
            self.counts[path] = self.counts.get(path, 0) + 1
            path = (*path, self.counts[path] - 1)
        self.lines.setdefault(path, self.line)
        # the second ] and a comment may follow, then a newline
        self.prefix, self.mode, self.parts, self.path = path, _VALUE, [], path

    def _count(self) -> None:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            self._refuse(f"it has more than {MAX_ENTRIES} keys and values")

    def _refuse(self, cause: str) -> NoReturn:
        raise UsageError(cause, place=f"{self.file}:{self.line}", hint="is this a profile?")
