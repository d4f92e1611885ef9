"""The one registry of commands, for the console, the command line, scripts, help and completion.

To add a command: add an entry to a table below podsh/commands/table/ (and its first word to
FAMILIES, in the order of ``help``), and write its handler,

    def list_(args: Args, context: Context) -> int: ...

in its module below podsh/commands/, which is imported only when the command runs. A handler is
blocking; it prints through ``context.out(line)``, ``context.err(line)`` and ``context.emit(dict)``
(one JSON object a line), never by print; it passes strings from outside through
``console.render.show``; it talks to the portal by ``context.portal()``; it raises
``podsh.errors`` classes and returns 0 (or the exit code of a program it ran). dispatch.py
knows their exit codes.

Completion tags: pod (any), live (pods that run), request (those that wait), profile, path, dir,
podpath (of cp: path, or ``POD:PATH``), program, command (of this registry), signal, key, variable;
an option or word with ``choices`` completes these.
"""

from __future__ import annotations

from podsh.commands.syntax import Command, imported, near
from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# table -> the first words of its commands: a start of podsh imports the one table that it needs
FAMILIES: dict[str, tuple[str, ...]] = {
    "programs": ("run", "exec", "trace", "jettison", "kage"),
    "pods": ("ps", "attach", "logs", "send", "record", "wait", "kill", "cp", "rm", "events"),
    "requests": ("requests", "review", "allow", "deny", "mount", "revoke", "why"),
    "domains": ("tree", "graph"),
    "profiles": ("profile",),
    "itself": ("doctor", "set", "cd", "echo", "source", "help", "quit", "shutdown", "complete"),
}


def table(family: str) -> tuple[Command, ...]:
    """The commands of one family."""
    found: tuple[Command, ...] = imported("podsh.commands.table." + family).COMMANDS
    return found


def commands() -> list[Command]:
    """All of them, in the order of ``help``."""
    return [command for family in FAMILIES for command in table(family)]


def first_words() -> list[str]:
    """Each command's name; of those with two words the first, once."""
    return [word for words in FAMILIES.values() for word in words]


def find(words: Sequence[str]) -> tuple[Command, list[str]]:
    """The command that ``words`` begin with, and the words after its name. Raises UsageError."""
    if words[0] == "podsh" and len(words) > 1:  # as hints and manuals write it
        words = words[1:]
    first = words[0]
    for family, known in FAMILIES.items():
        if first in known:
            return _among(table(family), words)
    hint = near(first, first_words()) or "see: podsh help"
    raise UsageError(f"unknown command: {ascii(first)[1:-1]}", hint=hint)


def _among(found: Iterable[Command], words: Sequence[str]) -> tuple[Command, list[str]]:
    pair = " ".join(words[:2])
    group = []
    for command in found:
        if command.name == words[0]:
            return command, list(words[1:])
        if command.name == pair:
            return command, list(words[2:])
        if command.name.startswith(words[0] + " "):
            group.append(command.name.partition(" ")[2])
    if len(words) < 2 or words[1].startswith("-"):
        raise UsageError("missing a word", place=words[0], hint="one of: " + ", ".join(group))
    hint = near(words[1], group) or "one of: " + ", ".join(group)
    raise UsageError(f"unknown command: {ascii(words[1])[1:-1]}", place=words[0], hint=hint)
