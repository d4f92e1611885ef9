"""help: all commands, or what one of them does."""

from __future__ import annotations

from podsh.commands import registry
from podsh.commands.syntax import Command, near
from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podsh.commands.context import Context
    from podsh.commands.syntax import Args


def help_(args: Args, context: Context) -> int:
    """All commands, a line each; or those that begin with the given words."""
    words = args.many("cmd")
    if not words:
        width = max(len(command.name) for command in registry.commands())
        for command in registry.commands():
            context.out(f"{command.name:<{width}}  {command.help}")
        context.out("\nhelp CMD says more; in a pod C-] comes back to the console.")
        return 0
    wanted = " ".join(words)
    found = [
        command
        for command in registry.commands()
        if command.name == wanted or command.name.startswith(wanted + " ")
    ]
    if not found:
        names = [command.name for command in registry.commands()]
        raise UsageError(f"no command called {wanted!a}", place="help", hint=near(wanted, names))
    context.out("\n\n".join(help_text(command) for command in found))
    return 0


def help_text(command: Command) -> str:
    """Synopsis, what it does, options and an example."""
    lines = [command.synopsis(), f"  {command.help}"]
    spelled = [(", ".join(option.names) + option.shown, option.help) for option in command.options]
    if spelled:
        width = max(len(names) for names, _ in spelled)
        lines += ["", *(f"  {names:<{width}}  {text}".rstrip() for names, text in spelled)]
    return "\n".join([*lines, "", f"  example: {command.example}"])
