"""Words -> command -> handler, the same way from the command line, scripts and the console."""

from __future__ import annotations

from podsh.commands.registry import find
from podsh.commands.syntax import HelpWanted, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.commands.context import Context


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
