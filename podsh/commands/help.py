"""help: all commands, what one of them does, or a page of the manual."""

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


def help_text(command: Command) -> str:
    """Synopsis, what it does, options and examples."""
    import textwrap

    from podsh.commands.examples import MORE

    text, more = MORE.get(command.name, ("", ()))
    lines = textwrap.wrap(command.synopsis(), 78, subsequent_indent="    ", break_on_hyphens=False)
    lines += [f"  {command.help}"]
    if text:
        lines += ["", *textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="  ")]
    spelled = [(", ".join(option.names) + option.shown, option.help) for option in command.options]
    if spelled:
        width = max(len(names) for names, _ in spelled)
        lines.append("")
        for names, what in spelled:
            head = f"  {names:<{width}}  "
            lines += textwrap.wrap(head + what, 98, subsequent_indent=" " * len(head))
    examples = [(command.example, ""), *more]
    width = max(len(line) for line, what in examples if what) if more else 0
    lines += ["", "  example:" if len(examples) == 1 else "  examples:"]
    lines += [f"    {line:<{width}}  {what}".rstrip() for line, what in examples]
    return "\n".join(lines)
