"""Candidates for the word being typed, from the registry. Pure, but for paths in local_source."""

from __future__ import annotations

import os

from podsh.commands import registry
from podsh.commands.quoting import dollar_quoted
from podsh.commands.syntax import is_value
from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podsh.commands.syntax import Command, Option

    # (tag, what is typed of the word) -> (value, help); see registry.py for the tags
    Source = Callable[[str, str], list[tuple[str, str]]]

_MAX_PATHS = 400
# of the program itself, instead of a command
_OWN = [
    ("-c", "run commands, one a line"),
    ("-f", "run the commands of a file"),
    ("--help", "what podsh can be called with"),
    ("--version", "which podsh this is"),
]


def candidates(words: Sequence[str], source: Source) -> list[tuple[str, str]]:
    """(value, help) that the last of ``words`` may become; it may be empty, or missing.

    What ``source`` gives is filtered here; an unknown command has no candidates. Names may have
    anything in them.
    """
    *before, last = words or [""]
    if not before:
        return _starting(_OWN if last.startswith("-") else _first_words(), last)
    if before[0] == "-f":
        return _value((), "path", last, source)
    try:
        command, given = registry.find(before)
    except UsageError:
        group = before[0] + " "
        names = [(c.name, c.help) for c in registry.commands() if c.name.startswith(group)]
        if len(before) > 1:
            return []
        return _starting([(name.removeprefix(group), text) for name, text in names], last)
    return _arguments(command, given, last, source)


def _first_words() -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for command in registry.commands():
        first, _, second = command.name.partition(" ")
        found.setdefault(first, f"{first} {second}, …" if second else command.help)
    return list(found.items())


def _starting(found: list[tuple[str, str]], prefix: str) -> list[tuple[str, str]]:
    return [(value, text) for value, text in found if value.startswith(prefix)]


def _arguments(
    command: Command, given: Sequence[str], last: str, source: Source
) -> list[tuple[str, str]]:
    """Walk what is given as the parser would, then complete what comes next."""
    taken = 0  # positional words
    used: set[str] = set()
    waiting: Option | None = None  # an option whose value comes next
    for index, word in enumerate(given):
        if waiting is not None and (not waiting.bare or is_value(waiting, word)):
            waiting = None
            continue
        waiting = None
        if word == "--" or (command.rest and not word.startswith("-") and _full(command, taken)):
            rest = given[index + (word == "--") :]
            return _program(rest, last, source) if command.rest else []
        elif word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            option = command.option(name)
            if option is not None:
                used.add(option.key)
                if option.value and "=" not in word:
                    waiting = option
        else:
            taken += 1
    if waiting is not None and not (waiting.bare and last.startswith("-")):
        return _value(waiting.choices, waiting.complete, last, source)
    if last.startswith("--") and "=" in last:
        name, _, value = last.partition("=")
        option = command.option(name)
        if option is None or not option.value:
            return []
        found = _value(option.choices, option.complete, value, source)
        return [(f"{name}={value}", text) for value, text in found]
    if last.startswith("-"):
        return _starting(_options(command, used), last)
    if taken < len(command.words) or (command.words and command.words[-1].repeat):
        word_syntax = command.words[min(taken, len(command.words) - 1)]
        return _value(word_syntax.choices, word_syntax.complete, last, source)
    return _program([], last, source) if command.rest else []


def _full(command: Command, taken: int) -> bool:
    return taken >= len(command.words)


def _options(command: Command, used: set[str]) -> list[tuple[str, str]]:
    return [
        (option.names[-1], option.help)
        for option in command.options
        if option.repeat or option.key not in used
    ]


def _value(choices: Sequence[str], tag: str, last: str, source: Source) -> list[tuple[str, str]]:
    if choices:
        return _starting([(choice, "") for choice in choices], last)
    if tag == "command":
        return _starting(_first_words(), last)
    if tag == "profile" and "/" in last:
        tag = "path"
    return _starting(source(tag, last), last) if tag else []


def _program(rest: Sequence[str], last: str, source: Source) -> list[tuple[str, str]]:
    """Words of a program's own command line: its name, then paths."""
    if not rest and "/" not in last:
        return _starting(source("program", last), last)
    return _starting(source("path", last), last)


def unfinished(line: str) -> tuple[list[str], str]:
    """(words so far, the last as typed): ``run -p "de`` gives ``['run', '-p', 'de'], '"de'``.

    The last word is what is being typed, maybe empty. Variables are left as they are written.
    """
    words: list[str] = []
    plain: list[str] = []  # of the word being read
    start = at = 0
    quote = ""
    while at < len(line):
        char = line[at]
        at += 1
        if char == "$" and not quote and line[at : at + 1] == "'":
            try:
                text, at = dollar_quoted(line, at + 1)
            except UsageError:  # it is being typed
                text, at = line[at + 1 :], len(line)
            plain.append(text)
        elif char == quote:
            quote = ""
        elif char == "\\" and quote != "'" and at < len(line):
            plain.append(line[at])
            at += 1
        elif quote:
            plain.append(char)
        elif char in "'\"":
            quote = char
        elif char.isspace():
            if at - 1 > start:
                words.append("".join(plain))
            plain, start = [], at
        else:
            plain.append(char)
    return [*words, "".join(plain)], line[start:]


# ---------------------------------------------------------------- what this machine has


def local_source(tag: str, prefix: str) -> list[tuple[str, str]]:
    """Candidates that need no portal: path, dir, program, signal, key, variable."""
    if tag in ("path", "dir"):
        return [(path, "") for path in _paths(prefix, only_dirs=tag == "dir")]
    if tag == "program":
        return [(name, "") for name in _programs(prefix)]
    if tag == "signal":
        from podsh.commands.pods import signal_names

        return signal_names()
    if tag == "key":
        from podsh.console.keynames import NAMES

        return [(name, "") for name in NAMES]
    if tag == "variable":
        return [(name, "") for name in sorted(os.environ)]
    return []


def _paths(prefix: str, *, only_dirs: bool) -> list[str]:
    """Paths that begin with ``prefix`` (``~`` kept as typed); directories end in a slash."""
    directory, name = os.path.split(prefix)
    found = []
    try:
        with os.scandir(os.path.expanduser(directory) or ".") as entries:
            for entry in entries:
                if not entry.name.startswith(name) or (entry.name[0] == "." and name[:1] != "."):
                    continue
                is_dir = entry.is_dir()
                if is_dir or not only_dirs:
                    head = directory + ("" if directory in ("", "/") else "/")
                    found.append(head + entry.name + ("/" if is_dir else ""))
    except OSError:
        return []
    return sorted(found)[:_MAX_PATHS]


def _programs(prefix: str) -> list[str]:
    """Names on PATH; only where something is typed already (there are thousands)."""
    if not prefix:
        return []
    found: set[str] = set()
    for directory in os.environ.get("PATH", os.defpath).split(":"):
        try:
            found.update(name for name in os.listdir(directory) if name.startswith(prefix))
        except OSError:
            continue
    return sorted(found)[:_MAX_PATHS]
