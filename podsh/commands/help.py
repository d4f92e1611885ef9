"""help: all commands, what one of them does, or a page of the manual."""

from __future__ import annotations

import os

from podsh.commands import registry
from podsh.commands.syntax import Command, near
from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

# columns: of anything, and of paragraphs
MOST, PROSE = 98, 78


def help_(args: Args, context: Context) -> int:
    """All commands, a line each; or those that begin with the given words."""
    page = args.maybe("man")
    if page is not None:
        from podsh.commands.manual import pages

        found = {name.rpartition(".")[0]: text for name, text in pages().items()}
        context.out(found[page].rstrip("\n"))
        return 0
    words = args.many("cmd")
    if not words:
        width = max(len(command.name) for command in registry.commands())
        for family in registry.FAMILIES:
            for command in registry.table(family):
                context.out(f"{command.name:<{width}}  {command.help}")
            context.out("")
        context.out("help CMD says more; in a pod C-] comes back to the console.")
        return 0
    wanted = " ".join(words)
    commands = [
        command
        for command in registry.commands()
        if command.name == wanted or command.name.startswith(wanted + " ")
    ]
    if not commands:
        names = [command.name for command in registry.commands()]
        raise UsageError(
            f"no command called {wanted!a}",
            place="help",
            hint=near(wanted, names) or "see: podsh help",
        )
    context.out("\n\n".join(help_text(command) for command in commands))
    return 0


def _columns() -> int:
    """How wide help is to be: as the terminal, but no wider than reads well."""
    try:
        return min(max(os.get_terminal_size(1).columns, 40), MOST)
    except OSError:
        return MOST


def help_text(command: Command, width: int = 0) -> str:
    """Synopsis, what it does, options and examples; in ``width`` columns (0: the terminal's)."""
    import textwrap

    from podsh.commands.examples import MORE

    width = width or _columns()
    text, more = MORE.get(command.name, ("", ()))
    lines = textwrap.wrap(
        command.synopsis(), width, subsequent_indent="    ", break_on_hyphens=False
    )
    lines += textwrap.wrap(command.help, width, initial_indent="  ", subsequent_indent="  ")
    if text:
        prose = min(width, PROSE)
        lines += ["", *textwrap.wrap(text, prose, initial_indent="  ", subsequent_indent="  ")]
    spelled = [(", ".join(option.names) + option.shown, option.help) for option in command.options]
    if spelled:
        lines.append("")
        column = min(max(len(names) for names, _ in spelled), width // 2)
        for names, what in spelled:
            indent = " " * (column + 4)
            lines += textwrap.wrap(f"  {names:<{column}}  {what}", width, subsequent_indent=indent)
    examples = [(command.example, ""), *more]
    lines += ["", "  example:" if len(examples) == 1 else "  examples:"]
    column = max(len(line) for line, _ in examples)
    fits = all(4 + column + 2 + len(what) <= width for _, what in examples)
    for line, what in examples:
        if fits:
            lines.append(f"    {line:<{column}}  {what}".rstrip())
        else:
            lines += [f"    {line}", *([f"        {what}"] if what else [])]
    return "\n".join(lines)
