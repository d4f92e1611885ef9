"""run: a program in a new pod, in the foreground of this terminal or behind it."""

from __future__ import annotations

import os

from podsh.commands import launching
from podsh.errors import PodshError, UsageError
from podsh.wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args


def run(args: Args, context: Context) -> int:
    """Start a pod; the program's exit code, or 0 where it goes on without us."""
    context.running_portal()  # it says hello while we look at the rest
    fields = request(args)
    fields["settings"] = launching.settings(args, "run")
    if args.flag("dry_run"):
        from podsh.console.render import show_lines

        for line in context.portal().call("plan", **fields)["lines"]:
            if args.flag("json"):
                context.emit({"line": line}, "plan")
            else:
                context.row(show_lines(str(line)))
        return 0
    if args.flag("detach"):
        from podsh.console.render import show

        pod = _start(fields, context)
        if args.flag("json"):
            context.emit(pod, "pod")
        else:
            context.out(show(str(pod["name"])))
        return 0
    if args.flag("json"):
        raise UsageError("what it writes is the program's", place="run --json", hint="add -d")
    return foreground(fields, context, raw=args.flag("raw"))


def request(args: Args) -> dict[str, Any]:
    """The fields of the portal's ``run`` and ``plan``, all paths absolute."""
    cwd = _cwd()
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "argv": args.rest,
        "profiles": profile_names(args.many("profile")),
        "name": args.maybe("name"),
        "detach": False,
        "rm": args.flag("rm"),
        "cwd": cwd,
        "environ": dict(os.environ),
        "umask": umask,
        "ro": [os.path.join(cwd, _path(path)) for path in args.many("ro")],
        "rw": [os.path.join(cwd, _path(path)) for path in args.many("rw")],
        "net": args.maybe("net"),
        "env": environment(args.many("env")),
        "home_mode": args.maybe("home"),
        "x11": args.maybe("x11"),
        "wayland": args.flag("wayland"),
        "ask": args.maybe("ask"),
        "rows": 24,
        "cols": 80,
        "tty": False,
    }


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError as exc:
        raise UsageError(f"the current directory: {exc.strerror}", hint="cd elsewhere") from None


def _path(path: str) -> str:
    """``~`` expanded (the shell does not in ``--ro=~/x``)."""
    return os.path.expanduser(path) if path.startswith("~") else path


def profile_names(given: list[str]) -> list[str]:
    """Profiles' names as they are; files' made absolute, for the portal lives elsewhere."""
    return [
        os.path.normpath(os.path.join(_cwd(), _path(name))) if "/" in name else name
        for name in given
    ]


def environment(items: list[str]) -> dict[str, str]:
    """``K=V`` and ``K`` (the caller's value) as a mapping. Raises UsageError."""
    found: dict[str, str] = {}
    for item in items:
        from podsh.console.render import show

        key, equals, value = item.partition("=")
        if not key:
            raise UsageError(f"--env {item!a} has no name", place="run", hint="--env NAME=VALUE")
        if not equals:
            if key not in os.environ:
                raise UsageError(
                    f"--env {show(key)}: not set here", place="run", hint=f"--env {show(key)}=VALUE"
                )
            value = os.environ[key]
        found[key] = value
    return found


def _start(fields: dict[str, Any], context: Context) -> dict[str, Any]:
    """Start a pod in the background; its row of ``ps``."""
    from podsh.console.terminal import size_of

    rows, cols = size_of(1)
    answer = context.portal().call("run", **{**fields, "detach": True, "rows": rows, "cols": cols})
    _notes(answer, context)
    context.last_pod = str(answer["name"])
    return answer


def _notes(answer: dict[str, Any], context: Context) -> None:
    from podsh.console.render import show_lines

    for note in answer.get("notes", ()):
        context.err("podsh: " + show_lines(str(note)))


def foreground(fields: dict[str, Any], context: Context, *, raw: bool = False) -> int:
    from podsh.console.stdio import Streams

    streams = Streams()
    terminal = None
    try:
        if streams.terminal >= 0:
            fields["tty"] = True
            cols, rows = os.get_terminal_size(streams.terminal)
            fields["rows"], fields["cols"] = rows or 24, cols or 80
        call = context.portal().post("run", **fields)
        # the pod is being built while we load what attaches to it
        import podsh.console.attach
        import podsh.console.keys  # noqa: F401  # what drive goes on to
        from podsh.commands.attach import drive
        from podsh.console.render import show
        from podsh.portal.client import monitor

        if streams.terminal >= 0:
            from podsh.console.terminal import Terminal

            terminal = Terminal(streams.terminal)
        answer = context.portal().answer(call)
        name = str(answer["name"])
        context.last_pod = name
        _notes(answer, context)
        if answer.get("daemon"):
            context.out(show(name))
            return 0
        try:
            channel = monitor(answer["socket"], messages.ATTACH)
        except BaseException:
            _abandon(name, context)
            raise
        message = {"op": "start"}
        return drive(channel, message, streams, terminal, context, name, raw=raw)
    finally:
        streams.close()
        if terminal is not None:
            terminal.close()


def _abandon(name: str, context: Context) -> None:
    """A pod whose program we could not start is not left behind."""
    import signal

    try:
        context.portal().call("kill", name=name, signal=int(signal.SIGKILL))
    except PodshError:
        pass  # gone already
