"""Words -> command -> handler, the same way from the command line, scripts and the console."""

from __future__ import annotations

from podsh.commands.registry import find
from podsh.commands.syntax import HelpWanted, parse
from podsh.errors import (
    Disconnected,
    KernelLacks,
    LaunchFailed,
    NotExecutable,
    NotFound,
    PodshError,
    TimedOut,
    UntrustedInput,
    UsageError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    from podsh.commands.context import Context

    T = TypeVar("T")

FAILED, USAGE, WAIT_TIMED_OUT, PODSH_ITSELF, NOT_EXECUTABLE, NOT_FOUND = 1, 2, 124, 125, 126, 127


def execute(words: Sequence[str], context: Context) -> int:
    """Run one command; its exit code. Raises podsh.errors classes."""
    command, rest = find(words)
    try:
        args = parse(command, rest)
    except HelpWanted:
        from podsh.commands.help import help_text

        context.out(help_text(command))
        return 0
    return command.load()(args, context)


def of_each(names: Iterable[T], do: Callable[[T], None], context: Context, before: int = 0) -> int:
    """Do it for each, also where one fails, which is told; the exit code of the worst, or
    ``before``. With a single name the error is raised."""
    from podsh.console.render import show_lines

    todo = list(names)
    worst = before
    for name in todo:
        try:
            do(name)
        except PodshError as exc:
            if len(todo) == 1:
                raise
            context.err(show_lines(f"{context.place or 'podsh'}: {exc}"))
            worst = max(worst, code_of(exc))
    return worst


def code_of(error: PodshError) -> int:
    """The exit code that stands for an error (ux.md)."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, TimedOut):
        return WAIT_TIMED_OUT
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, NotExecutable):
        return NOT_EXECUTABLE
    if isinstance(error, (LaunchFailed, KernelLacks, Disconnected, UntrustedInput)):
        return PODSH_ITSELF
    return FAILED
