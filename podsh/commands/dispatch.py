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
    TimedOut,
    UntrustedInput,
    UsageError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.commands.context import Context
    from podsh.errors import PodshError

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
