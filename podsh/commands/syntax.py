"""What a command line looks like, as data, and the parser over it. Imports nothing heavy.

The same objects serve parsing, help and completion. Words before ``--`` (or before the first
word of a command's ``rest``) may be options in any order; what follows belongs to the program.
"""

from __future__ import annotations

import sys

from podsh.errors import UsageError

TYPE_CHECKING = False  # `import typing` costs milliseconds on every command
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from podsh.commands.context import Context

    Handler = Callable[["Args", Context], int]


class Option:
    """``-x``, ``--name``; takes a value where ``value`` (its name in help) is not empty, or as many
    words as that has; ``Args`` then has them with a blank between.

    complete: tag of the value's candidates (see registry.py). choices: the only values allowed.
    repeat: may be given several times. bare: the value may be left out (it is then empty); the next
    word is the value if it is one of ``choices``; without these, unless it is an option or a number
    (numeric: only if it is one). glued: it may be left out, and is given only as ``--name=VALUE``.
    The key in ``Args`` is the long name with ``_`` for ``-``.
    """

    __slots__ = (
        "bare",
        "choices",
        "complete",
        "glued",
        "help",
        "key",
        "names",
        "numeric",
        "repeat",
        "value",
    )

    def __init__(
        self,
        *names: str,
        value: str = "",
        help: str = "",
        complete: str = "",
        choices: tuple[str, ...] = (),
        repeat: bool = False,
        bare: bool = False,
        numeric: bool = False,
        glued: bool = False,
    ) -> None:
        self.names = names
        self.numeric = numeric
        self.bare = bare
        self.value = value
        self.help = help
        self.complete = complete
        self.choices = choices
        self.repeat = repeat
        self.glued = glued
        self.key = names[-1].lstrip("-").replace("-", "_")

    @property
    def shown(self) -> str:
        """`` VALUE``, as it is written after the name; empty where it takes none."""
        if not self.value:
            return ""
        if self.glued:
            return f"[={self.value}]"
        return f" [{self.value}]" if self.bare else f" {self.value}"


JSON = Option("--json", help="one JSON object a line")
RAW = Option("--raw", help="let its terminal sequences through as they are")


class Word:
    """A positional argument; its key in ``Args`` is ``name`` in lower case, unless given.

    open: ``choices`` are only offered, others are allowed.
    """

    __slots__ = ("choices", "complete", "key", "name", "open", "optional", "repeat")

    def __init__(
        self,
        name: str,
        *,
        complete: str = "",
        choices: tuple[str, ...] = (),
        optional: bool = False,
        repeat: bool = False,
        open: bool = False,
        key: str = "",
    ) -> None:
        self.name = name
        self.complete = complete
        self.choices = choices
        self.open = open
        self.optional = optional
        self.repeat = repeat
        self.key = key or name.lower()


class Command:
    """One command: ``name`` (two words for a subcommand), ``"module:function"`` of its handler.

    rest: name of the trailing program words (``"CMD"``), empty where there are none;
    rest_optional: they may be left out. lenient: an option that the command does not know begins
    ``rest`` instead of being an error. terminal: the handler takes the terminal over (the
    console then runs it in its main thread, without a prompt). without: the option with which it
    does not.
    """

    __slots__ = (
        "example",
        "handler",
        "help",
        "lenient",
        "name",
        "options",
        "rest",
        "rest_optional",
        "terminal",
        "without",
        "words",
    )

    def __init__(
        self,
        name: str,
        handler: str,
        *,
        help: str,
        example: str,
        words: Sequence[Word] = (),
        options: Sequence[Option] = (),
        rest: str = "",
        rest_optional: bool = False,
        lenient: bool = False,
        terminal: bool = False,
        without: str = "",
    ) -> None:
        self.name = name
        self.handler = handler
        self.help = help
        self.example = example
        self.words = words
        self.options = options
        self.rest = rest
        self.rest_optional = rest_optional
        self.lenient = lenient
        self.terminal = terminal
        self.without = without

    def load(self) -> Handler:
        """Import the handler's module and return the function."""
        module, _, function = self.handler.partition(":")
        found: Handler = getattr(imported(module), function)
        return found

    def option(self, name: str) -> Option | None:
        """The option spelled ``name`` (``-x`` or ``--long``)."""
        for option in self.options:
            if name in option.names:
                return option
        return None

    def synopsis(self) -> str:
        """``run [-n NAME] … -- CMD…``"""
        options = [
            f"[{option.names[0]}{option.shown}]" + ("…" if option.repeat else "")
            for option in self.options
        ]
        words = []
        for word in self.words:
            shown = word.name + ("…" if word.repeat else "")
            words.append(f"[{shown}]" if word.optional else shown)
        if self.lenient:
            return " ".join([self.name, *words, *options, f"[{self.rest}…]"])
        parts = [self.name, *options, *words]
        if self.rest:
            parts.append(f"[-- {self.rest}…]" if self.rest_optional else f"-- {self.rest}…")
        return " ".join(parts)


class HelpWanted(Exception):
    """``--help`` or ``-h`` among a command's own options."""


class Args:
    """A parsed command line; keys as ``Option`` and ``Word`` say, program words in ``rest``."""

    __slots__ = ("_values", "rest")

    def __init__(self, values: dict[str, Any], rest: list[str]) -> None:
        self._values = values
        self.rest = rest

    def flag(self, key: str) -> bool:
        """Whether an option without a value was given."""
        return bool(self._values.get(key, False))

    def text(self, key: str) -> str:
        """A value that the syntax requires."""
        return str(self._values[key])

    def maybe(self, key: str) -> str | None:
        """A value that may be missing; empty for an option that was given without one."""
        value: str | None = self._values.get(key)
        return value

    def many(self, key: str) -> list[str]:
        """The values of a repeated option or word, in order; may be empty."""
        return list(self._values.get(key, ()))


def imported(name: str) -> Any:
    """The module of that name (importlib's function costs half a millisecond by its import)."""
    __import__(name)
    return sys.modules[name]


def near(word: str, known: Sequence[str]) -> str:
    """A hint for a misspelled word: ``did you mean X?``, or nothing."""
    import difflib

    found = difflib.get_close_matches(word, known, 1, 0.6)
    return f"did you mean {found[0]}?" if found else ""


def parse(command: Command, words: Sequence[str]) -> Args:
    """Parse the words after the command's name.

    Raises UsageError (place: the command), HelpWanted.
    """
    return _Parser(command).parse(words)


def is_value(option: Option, word: str) -> bool:
    """Whether ``word`` is the value that may be left out."""
    if option.choices:
        return word in option.choices
    return not word.startswith("-") and word.isdecimal() == option.numeric


class _Parser:
    def __init__(self, command: Command) -> None:
        self.command = command
        self.values: dict[str, Any] = {}
        self.given: list[str] = []

    def fail(self, cause: str, hint: str = "") -> UsageError:
        name = self.command.name
        return UsageError(cause, place=name, hint=hint or f"see: podsh help {name}")

    def parse(self, words: Sequence[str]) -> Args:
        todo = list(words)
        todo.reverse()
        rest: list[str] = []
        slots = len(self.command.words)
        open_ended = bool(slots and self.command.words[-1].repeat)
        while todo:
            word = todo.pop()
            if word == "--":
                todo.reverse()
                if self.command.rest:
                    rest = todo
                else:
                    self.given += todo
                break
            if self.command.lenient and self.foreign(word):
                todo.reverse()
                rest = [word, *todo]
                break
            if word.startswith("--"):
                self.long(word, todo)
            elif word.startswith("-") and word != "-":
                self.short(word, todo)
            elif self.command.rest and len(self.given) >= slots and not open_ended:
                todo.reverse()
                rest = [word, *todo]
                break
            else:
                self.given.append(word)
        self.place()
        if self.command.rest and not rest and not self.command.rest_optional:
            raise self.fail(f"missing {self.command.rest}", f"as in: podsh {self.command.example}")
        return Args(self.values, rest)

    def foreign(self, word: str) -> bool:
        """Whether ``word`` is an option, but none of the command's (``--help`` is, before all)."""
        if not word.startswith("-") or word == "-":
            return False
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if name in ("--help", "-h") and not self.given:
            return False
        return self.command.option(name) is None

    def long(self, word: str, todo: list[str]) -> None:
        name, equals, value = word.partition("=")
        option = self.command.option(name)
        if option is None:
            if name == "--help":
                raise HelpWanted
            known = [n for o in self.command.options for n in o.names if n.startswith("--")]
            raise self.fail(f"unrecognized arguments: {name}", near(name, known))
        if not option.value and equals:
            raise self.fail(f"{name} takes no value")
        self.store(option, name, value if equals else None, todo)

    def short(self, word: str, todo: list[str]) -> None:
        at = 1
        while at < len(word):
            name = "-" + word[at]
            option = self.command.option(name)
            at += 1
            if option is None:
                if name == "-h":
                    raise HelpWanted
                raise self.fail(f"unrecognized arguments: {name}")
            glued: str | None = None
            if option.value and at < len(word):
                glued = word[at:].removeprefix("=")
                at = len(word)
            self.store(option, name, glued, todo)

    def store(self, option: Option, name: str, value: str | None, todo: list[str]) -> None:
        if not option.value:
            self.values[option.key] = True
            return
        if value is None and (option.bare or option.glued):
            value = todo.pop() if option.bare and todo and is_value(option, todo[-1]) else ""
        elif value is None:
            if not todo or todo[-1] == "--":
                raise self.fail(f"{name} needs a value: {option.value}")
            value = todo.pop()
        for _ in option.value.split(" ")[1:]:
            if not todo or todo[-1].startswith("-"):
                raise self.fail(f"{name} needs two values: {option.value}")
            value += " " + todo.pop()
        if value or not option.bare:
            self.check(name, value, option.choices)
        if option.repeat:
            self.values.setdefault(option.key, []).append(value)
        elif option.key in self.values:
            raise self.fail(f"{name} given twice")
        else:
            self.values[option.key] = value

    def check(self, name: str, value: str, choices: tuple[str, ...]) -> None:
        if choices and value not in choices:
            hint = near(value, choices) or "one of: " + ", ".join(choices)
            raise self.fail(f"{name}: not {value!a}", hint)

    def place(self) -> None:
        """Give the positional words their names."""
        given = self.given
        for word in self.command.words:
            if word.repeat:
                taken, given = given, []
                if not taken and not word.optional:
                    raise self.fail(f"missing {word.name}", f"as in: podsh {self.command.example}")
                self.values[word.key] = taken
            elif given:
                self.values[word.key], given = given[0], given[1:]
                self.check(word.name, self.values[word.key], () if word.open else word.choices)
            elif not word.optional:
                raise self.fail(f"missing {word.name}", f"as in: podsh {self.command.example}")
        if given:
            raise self.fail(f"unrecognized arguments: {' '.join(map(ascii, given))}")
