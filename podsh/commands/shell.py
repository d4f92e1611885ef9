"""set, cd, source, quit, shutdown: about podsh itself."""

from __future__ import annotations

from podsh.errors import PodshError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

_END_S = 10.0


def set_(args: Args, context: Context) -> int:
    """Set variables; without any, list them."""
    items = args.many("name=value")
    if not items:
        from podsh.console.render import show

        for name, value in sorted(context.variables.items()):
            if args.flag("json"):
                context.emit({"name": name, "value": value}, "variable")
            else:
                context.row(f"{name}={show(value)}")
        return 0
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier() or not name.isascii():
            raise UsageError(f"{item!a} is not NAME=VALUE", place="set", hint="as in: set DIR=/srv")
        context.variables[name] = value
    return 0


def cd(args: Args, context: Context) -> int:
    """Go to a directory: relative paths, ``.`` of profiles and new pods begin there."""
    import os

    from podsh.console.render import show

    path = os.path.expanduser(args.maybe("dir") or "~")
    try:
        os.chdir(path)
        now = os.getcwd()
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "has a NUL in it"
        raise UsageError(str(reason), place=show(path)) from None
    os.environ["PWD"] = now
    if context.mode == "console" and not context.scripted:  # its prompt does not tell
        context.row(show(now))
    return 0


def echo(args: Args, context: Context) -> int:
    """Print words, as they are where nobody reads them on a terminal."""
    text = " ".join(args.rest)
    if context.width:
        from podsh.console.render import show_text

        text = "\n".join(show_text(line) for line in text.split("\n"))
    context.out(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    return 0


def source(args: Args, context: Context) -> int:
    """Run the commands of a file in this context."""
    from podsh.commands.script import read_script, run_script

    path = args.text("file")
    return run_script(read_script(path), path, context, context.depth + 1)


def quit_(args: Args, context: Context) -> int:
    """End the script; the console handles it itself (it asks about live pods)."""
    code = args.maybe("code") or "0"
    if not (code.isascii() and code.isdigit()) or len(code) > 3 or int(code) > 255:
        raise UsageError(f"not an exit code: {code!a}", place="quit", hint="as in: quit 1")
    context.leave = True
    return int(code)


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
