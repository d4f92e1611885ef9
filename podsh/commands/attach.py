"""attach, exec: a pod's programs on this terminal."""

from __future__ import annotations

import os

from podsh.console.render import plain_lines, show, signal_name
from podsh.errors import Disconnected, PodshError, UsageError
from podsh.wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args
    from podsh.console.attach import Attachment
    from podsh.console.outcome import Outcome
    from podsh.console.stdio import Streams
    from podsh.console.terminal import Terminal
    from podsh.portal.client import Channel

# of a program that ended on the alternate screen, so much is shown again below it
_TAIL_LINES = 15


def attach(args: Args, context: Context) -> int:
    """Put a pod on this terminal. Without a name: the last one, or the only one that lives."""
    name = args.maybe("pod") or _last_or_only(context)
    return attach_to(name, context, watch=args.flag("watch"), raw=args.flag("raw"))


def _last_or_only(context: Context) -> str:
    pods = context.portal().call("ps")["pods"]
    live = [str(pod["name"]) for pod in pods if pod.get("state") in messages.LIVE]
    if context.last_pod in live:
        return context.last_pod
    if len(live) == 1:
        return live[0]
    if not live:
        raise UsageError("no pod is running", place="attach", hint="try: podsh run -- bash")
    shown = ", ".join(show(name) for name in live[:8])
    raise UsageError("which pod?", place="attach", hint=f"one of: {shown}")


def attach_to(name: str, context: Context, *, watch: bool = False, raw: bool = False) -> int:
    """The main program's terminal on this one, until it ends or the attention key is typed.

    watch: nothing that is typed goes to it, and who is attached stays so. raw: not filtered.
    """
    from podsh.console.attach import Attachment
    from podsh.console.keys import attention
    from podsh.console.terminal import Terminal
    from podsh.portal.client import monitor

    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError("needs a terminal", place="attach", hint=f"logs -f {show(name)}")
    key = attention(context.variables)
    pod = live(name, context)
    terminal = Terminal(1)
    try:
        channel = monitor(str(pod["socket"]), messages.WATCH if watch else messages.ATTACH)
        try:
            rows, cols = terminal.size()
            op = {"op": "watch"} if watch else {"op": "attach", "rows": rows, "cols": cols}
            channel.send({**op, "replay": True})
            attachment = Attachment(
                channel,
                terminal,
                raw=True,
                keys=True,
                alternate=capable(),
                forward=False,
                watch=watch,
                filtered=not raw,
                key=key,
                name=show(name, 40),
            )
            if not watch:
                context.last_pod = name
            return conclude(attachment, context, name)
        finally:
            channel.close()
    finally:
        terminal.close()


def live(name: str, context: Context) -> dict[str, Any]:
    """The portal's entry of a pod that has a monitor. Raises UsageError."""
    pod: dict[str, Any] = context.portal().call("pod", name=name)
    if pod.get("state") not in messages.LIVE or not pod.get("socket"):
        from podsh.commands.pods import state_words

        raise UsageError(
            f"has ended ({state_words(pod)})",
            place=show(name),
            hint=f"see: podsh logs {show(name)}",
        )
    return pod


def capable() -> bool:
    """Whether the terminal has an alternate screen and answers questions."""
    return os.environ.get("TERM", "dumb") not in ("dumb", "")


def exec_(args: Args, context: Context) -> int:
    """One more program in a live pod; its exit code."""
    from podsh.commands.run import environment
    from podsh.console.stdio import Streams
    from podsh.console.terminal import Terminal
    from podsh.portal.client import monitor

    name = args.text("pod")
    env = environment(args.many("env"))
    if "TERM" in os.environ:
        env.setdefault("TERM", os.environ["TERM"])
    streams = Streams()
    terminal = Terminal(streams.terminal) if streams.terminal >= 0 else None
    try:
        pod = live(name, context)
        channel = monitor(str(pod["socket"]), messages.EXEC)
        context.last_pod = name
        message = {"op": "exec", "argv": args.rest, "env": env, "cwd": args.maybe("cwd")}
        raw = args.flag("raw")
        return drive(channel, message, streams, terminal, context, name, raw=raw)
    finally:
        if context.held is None or context.held[1].relays is not streams.relays:
            streams.close()
        if terminal is not None:
            terminal.close()


def resume(context: Context) -> int:
    """Back to the program that C-] left (``context.held``); its exit code when it ends."""
    from podsh.console.terminal import Terminal

    assert context.held is not None
    name, attachment = context.held
    attachment.terminal = Terminal(1)
    try:
        return conclude(attachment, context, name)
    finally:
        attachment.terminal.close()
        if context.held is None:
            attachment.close()


def drive(
    channel: Channel,
    message: dict[str, Any],
    streams: Streams,
    terminal: Terminal | None,
    context: Context,
    name: str,
    *,
    raw: bool = False,
) -> int:
    """Send ``message`` (start, exec) and see its program through; the exit code.

    raw: what it writes on a terminal is not filtered.
    """
    from podsh.console.keys import attention
    from podsh.console.stdio import OutRelay
    from podsh.console.streams import run_streams

    in_console = context.mode == "console"
    try:
        attachment = run_streams(
            channel,
            message,
            streams,
            terminal,
            hold=message["op"] == "exec",
            alternate=in_console and streams.raw and capable(),
            # what ends the console does not end its pods
            forward=not in_console,
            filtered=not raw,
            key=attention(context.variables),
            name=show(name, 40),
        )
        code = conclude(attachment, context, name)
    except BaseException:
        channel.close()
        raise
    if context.held is None or context.held[1] is not attachment:
        channel.close()
    for relay in streams.relays:
        if isinstance(relay, OutRelay) and relay.error is not None:
            raise PodshError(str(relay.error.strerror), place=relay.name)
    return code


def conclude(attachment: Attachment, context: Context, name: str) -> int:
    """Run an attachment, and go on as its outcome asks; the exit code."""
    from podsh.console import outcome as how

    notices = None
    if attachment.raw and not attachment.watch:  # a person sits there, who may be asked
        from podsh.console.notices import Notices

        notices = Notices.open(attachment.name, titles=capable(), saved=attachment.alternate)
    attachment.notices = notices
    try:
        outcome = attachment.run(context.typeahead())
        attachment.notices = None
        if outcome.reason == how.ATTENTION:
            if attachment.hold:
                context.held = (name, attachment)
            # until the console is there the person is still here: what waits goes on waiting
            return 0 if context.mode == "console" else _console(context, name)
    finally:
        if notices is not None:
            notices.close()
    if context.held is not None and context.held[1] is attachment:
        context.held = None
    if outcome.reason == how.TAKEN:
        context.err(f"podsh: {show(name)} is now attached elsewhere")
    elif outcome.reason == how.LOST:
        raise Disconnected("the pod's monitor is gone", place=show(name), hint="see: podsh ps")
    if outcome.denied and not attachment.raw:
        _denied(outcome.denied, context, name)
    if outcome.reason == how.EXIT and attachment.alternate:
        _last_words(attachment, outcome, context, name)
    return outcome.code


def _denied(denied: Mapping[str, Any], context: Context, name: str) -> None:
    """Where nobody could be asked, the person reads afterwards what was missing."""
    from podsh.console.events import shown_path

    count, home = int(denied["count"]), os.path.expanduser("~")
    some = [f"{show(str(one['mode']))} {shown_path(one, home)}" for one in denied["some"]]
    more = ["…"] if count > len(some) else []
    accesses = "1 access was" if count == 1 else f"{count} accesses were"
    context.err(
        f"podsh: {accesses} denied: {', '.join(some + more)}; "
        f"see: podsh events {show(name)}, or use --ask hold"
    )


def _last_words(attachment: Attachment, outcome: Outcome, context: Context, name: str) -> None:
    """What the person would miss, now that the program's screen is gone: its end, as text."""
    if outcome.code or not outcome.typed:
        lines = plain_lines(outcome.tail)
        if len(lines) > _TAIL_LINES:
            more = "" if attachment.hold else f" (all of it: logs {show(name)})"
            context.row(f"{show(name, 24)} | …{more}")
        for line in lines[-_TAIL_LINES:]:
            context.row(f"{show(name, 24)} | {line}")
    if context.mode != "console" or attachment.hold:  # else an event says so
        killed = f"killed by {signal_name(outcome.signal)}" if outcome.signal else ""
        context.err(f"podsh: {show(name)}: {killed or f'exit {outcome.code}'}")


def _console(context: Context, name: str) -> int:
    """C-] in a command of the shell: the console, on the same pod, until ``quit``."""
    from podsh.console.app import open_console

    context.last_pod = name
    return open_console(context, entered=True)
