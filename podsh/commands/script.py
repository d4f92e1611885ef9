"""Command lines as text: quoting, comments, variables; and whole scripts of them."""

from __future__ import annotations

import os

from podsh.commands.quoting import dollar_quoted
from podsh.console.render import show_lines
from podsh.errors import PodshError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from podsh.commands.context import Context

# `source` of a file that sources itself
_MAX_DEPTH = 20
_MAX_BYTES = 8 << 20


def split(line: str, variables: Mapping[str, str]) -> list[str]:
    """The words of a line, as a shell has them: quotes, backslash, ``$'…'``, ``$NAME``, comments
    after ``#``.

    A variable's value is one word whatever is in it. Raises UsageError for an open quote and a
    variable that is set neither here nor in the environment.
    """
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    at = 0
    while at < len(line):
        char = line[at]
        at += 1
        if quote == "'":
            if char == "'":
                quote = ""
            else:
                assert word is not None
                word.append(char)
        elif char == "\\" and (not quote or line[at : at + 1] in ("\\", '"', "$")):
            if at == len(line):
                raise UsageError("nothing follows the last backslash")
            word = [] if word is None else word
            word.append(line[at])
            at += 1
        elif char == "$" and not quote and line[at : at + 1] == "'":
            value, at = dollar_quoted(line, at + 1)
            word = [] if word is None else word
            word.append(value)
        elif char == "$":
            value, at = _variable(line, at, variables)
            word = [] if word is None else word
            word.append(value)
        elif char == quote:
            quote = ""
        elif quote:
            assert word is not None
            word.append(char)
        elif char in "'\"":
            quote = char
            word = word or []
        elif char.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
        elif char == "#" and word is None:
            break
        else:
            word = [] if word is None else word
            word.append(char)
    if quote:
        raise UsageError(f"no closing {quote}")
    if word is not None:
        words.append("".join(word))
    return words


def lines_of(text: str) -> list[str]:
    """A text (what was pasted) as lines of commands; a quote may go on over several."""
    found: list[str] = []
    begun = ""
    for part in text.split("\n"):
        line = f"{begun}\n{part}" if begun else part
        begun = ""
        if _open(line):
            begun = line
        else:
            found.append(line)
    return [*found, begun] if begun else found


def _open(line: str) -> bool:
    """Whether a quote is not closed."""
    try:
        split(line.replace("$", "_"), {})
    except UsageError as exc:
        return exc.cause in ("no closing '", 'no closing "')
    return False


def _variable(line: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """The value of the variable named at ``at`` (after its $), and where the text goes on."""
    braces = line[at : at + 1] == "{"
    start = end = at + braces
    while end < len(line) and (line[end] == "_" or (line[end].isascii() and line[end].isalnum())):
        end += 1
    name = line[start:end]
    if line[start : start + 1] == "?":  # how the last command ended
        end = start + 1
        name = "?"
    if braces and line[end : end + 1] != "}":
        raise UsageError("no closing }", place="${" + name)
    if not name or name[0].isdigit():
        if braces:
            raise UsageError("not a variable's name", place="${" + name + "}")
        return "$", at
    value = variables.get(name, os.environ.get(name))
    if value is None:
        from podsh.commands.syntax import near

        hint = near(name, [*variables, *os.environ]) or f"set {name}=…"
        raise UsageError(f"${name} is not set", hint=hint)
    return value, end + braces


class ScriptStopped(Exception):
    """An error of a script's command: ``error``, at ``place`` (``file:line``)."""

    def __init__(self, place: str, error: PodshError) -> None:
        super().__init__(f"{place}: {error}")
        self.place = place
        self.error = error


def run_script(lines: Iterable[str], name: str, context: Context, depth: int = 0) -> int:
    """Run commands, one a line; the first that fails stops them. The exit code of that one;
    ``$?`` is that of the command before.

    name: of the file, for errors (``t.pod:4: allow: …``). A line that begins with ``-`` may
    fail. Raises the error that stopped it, its place made complete.
    """
    if depth > _MAX_DEPTH:
        raise UsageError("sources itself, or too many files deep", place=name)
    outer = context.place, context.depth
    context.depth = depth
    try:
        for number, line in enumerate(lines, 1):
            code = _run_line(line.strip(), f"{name}:{number}", context)
            if code or context.leave:
                return code
        return 0
    finally:
        context.place, context.depth = outer


def _run_line(line: str, place: str, context: Context) -> int:
    from podsh.commands.dispatch import code_of, execute

    may_fail = line.startswith("-")
    context.place = place
    try:
        words = split(line.removeprefix("-"), context.words())
        if not words:
            return 0
        code = execute(words, context)
    except (PodshError, ScriptStopped) as exc:
        # that of a sourced file has its place
        stopped = exc if isinstance(exc, ScriptStopped) else ScriptStopped(place, exc)
        context.status = code_of(stopped.error)
        if not may_fail:
            raise stopped from None
        context.err(show_lines(str(stopped)))
        return 0
    finally:
        context.flush()
    context.status = code
    if code and not (may_fail or context.leave):
        context.err(f"{place}: {words[0]}: exit {code}")
    return 0 if may_fail and not context.leave else code


def lines_as_they_come() -> Iterator[str]:
    """The lines of standard input, each once it is there; no program of the script gets it.

    Raises UsageError.
    """
    own = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    with open(own, "rb") as file:
        number = 0
        while line := file.readline(_MAX_BYTES + 1):
            number += 1
            if len(line) > _MAX_BYTES:
                raise UsageError(f"longer than {_MAX_BYTES >> 20} MiB", place=f"-:{number}")
            try:
                yield line.decode()
            except UnicodeDecodeError:
                raise UsageError("is not UTF-8", place=f"-:{number}") from None


def read_script(path: str) -> list[str]:
    """The lines of a script; ``-`` is standard input. Raises UsageError."""
    import sys

    try:
        if path == "-":
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with open(os.path.expanduser(path), "rb") as file:
                data = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise UsageError(f"cannot read it: {exc.strerror}", place=path) from None
    if len(data) > _MAX_BYTES:
        raise UsageError(f"longer than {_MAX_BYTES >> 20} MiB", place=path)
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise UsageError("is not UTF-8", place=f"{path}:{line}") from None
    return text.split("\n")
