"""set, source, help, quit, shutdown, complete: about podsh itself."""

from __future__ import annotations

from podsh.commands import registry
from podsh.commands.syntax import Command, near
from podsh.errors import PodshError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

_END_S = 10.0


def set_(args: Args, context: Context) -> int:
    """Set variables; without any, list them."""
    items = args.many("name=value")
    if not items:
        from podsh.console.render import show

        for name, value in sorted(context.variables.items()):
            context.out(f"{name}={show(value)}")
        return 0
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier() or not name.isascii():
            raise UsageError(f"{item!a} is not NAME=VALUE", place="set", hint="as in: set DIR=/srv")
        context.variables[name] = value
    return 0


def source(args: Args, context: Context) -> int:
    """Run the commands of a file in this context."""
    from podsh.commands.script import read_script, run_script

    path = args.text("file")
    return run_script(read_script(path), path, context, context.depth + 1)


def quit_(_args: Args, context: Context) -> int:
    """End the script; the console handles it itself (it asks about live pods)."""
    context.leave = True
    return 0


def shutdown(args: Args, context: Context) -> int:
    """End the portal, and the pods where that was said; waits until it is gone."""
    from podsh.portal import client

    try:
        portal = context.running_portal()
        if portal is None:
            context.out("No portal is running.")
            return 0
        pid = portal.pid
        portal.call("shutdown", kill=args.flag("kill"))
    except UsageError:
        if args.flag("kill"):
            raise
        ended = client.end_running()  # one of another version: it knows the signal
        if ended is None:
            return 0
        pid = ended
    _gone(pid)
    context.close()
    return 0


def _gone(pid: int) -> None:
    """Wait for the end of a process that is not ours."""
    import os
    import select

    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return  # gone already
    try:
        if not select.select([fd], [], [], _END_S)[0]:
            raise PodshError(f"the portal (pid {pid}) does not end", hint=f"kill {pid}")
    finally:
        os.close(fd)


# ---------------------------------------------------------------- help


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


# ---------------------------------------------------------------- complete

STUBS = {"bash": "podsh.bash", "zsh": "_podsh", "fish": "podsh.fish"}


def complete(args: Args, context: Context) -> int:
    """Candidates for the last word, for the shells' stubs; with --stub, such a stub itself."""
    shell = args.maybe("stub")
    if shell is not None:
        import os

        from podsh import paths

        with open(os.path.join(paths.shared("completions"), STUBS[shell]), encoding="utf-8") as f:
            context.out(f.read().rstrip("\n"))
        return 0
    from podsh.console.complete import candidates

    form = args.maybe("format") or "lines"
    try:
        found = candidates(args.rest, source_for(context))
    except PodshError:
        return 0  # nothing to offer; a shell's prompt is no place for an error
    for value, text in found:
        if form == "values":
            context.out(value)
        elif form == "zsh":
            context.out(value.replace(":", "\\:") + (f":{text}" if text else ""))
        else:
            context.out(f"{value}\t{text}" if text else value)
    return 0


def source_for(context: Context) -> Callable[[str, str], list[tuple[str, str]]]:
    """Where completion looks live names up; starts no portal."""
    from podsh.console.complete import local_source

    def source(tag: str, prefix: str) -> list[tuple[str, str]]:
        if tag in ("pod", "live"):
            from podsh.commands.pods import state_words
            from podsh.wire.messages import LIVE

            portal = context.running_portal()
            pods = portal.call("ps")["pods"] if portal is not None else []
            return [
                (str(pod["name"]), state_words(pod))
                for pod in pods
                if tag == "pod" or pod.get("state") in LIVE
            ]
        if tag == "request":
            from podsh.console.asking import brief

            portal = context.running_portal()
            rows = portal.call("requests")["requests"] if portal is not None else []
            return [(str(row["id"]), brief(row)) for row in rows]
        if tag == "profile":
            portal = context.running_portal()
            if portal is None:
                return []
            found = portal.call("profiles")
            listed = found["profiles"] if isinstance(found, dict) else found
            return [(str(p["name"]), str(p.get("description") or "")) for p in listed]
        if tag == "variable":
            return [(name, "") for name in context.variables]
        return local_source(tag, prefix)

    return source
