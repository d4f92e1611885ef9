"""attach, exec, logs: a pod's programs on this terminal."""

from __future__ import annotations

import os
import sys

from podsh.console.render import plain_lines, show, signal_name
from podsh.errors import Disconnected, PodshError, UsageError
from podsh.wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args
    from podsh.console.attach import Attachment, Outcome
    from podsh.console.stdio import Streams
    from podsh.console.terminal import Terminal
    from podsh.portal.client import Channel

# of a program that ended on the alternate screen, so much is shown again below it
_TAIL_LINES = 15


def attach(args: Args, context: Context) -> int:
    """Put a pod on this terminal. Without a name: the last one, or the only one that lives."""
    name = args.maybe("pod") or context.last_pod or _only_pod(context)
    return attach_to(name, context)


def _only_pod(context: Context) -> str:
    pods = context.portal().call("ps")["pods"]
    live = [str(pod["name"]) for pod in pods if pod.get("state") in messages.LIVE]
    if len(live) == 1:
        return live[0]
    if not live:
        raise UsageError("no pod is running", place="attach", hint="try: run -- bash")
    shown = ", ".join(show(name) for name in live[:8])
    raise UsageError("which pod?", place="attach", hint=f"one of: {shown}")


def attach_to(name: str, context: Context) -> int:
    """The main program's terminal on this one, until it ends or C-] is typed."""
    from podsh.console.attach import Attachment
    from podsh.console.terminal import Terminal
    from podsh.portal.client import monitor

    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError("needs a terminal", place="attach", hint=f"logs -f {show(name)}")
    pod = _live(name, context)
    terminal = Terminal(1)
    try:
        channel = monitor(str(pod["socket"]), messages.ATTACH)
        try:
            rows, cols = terminal.size()
            channel.send({"op": "attach", "rows": rows, "cols": cols, "replay": True})
            attachment = Attachment(
                channel,
                terminal,
                raw=True,
                keys=True,
                alternate=capable(),
                forward=False,
                name=show(name, 40),
            )
            context.last_pod = name
            return conclude(attachment, context, name)
        finally:
            channel.close()
    finally:
        terminal.close()


def _live(name: str, context: Context) -> dict[str, Any]:
    """The portal's entry of a pod that has a monitor. Raises UsageError."""
    pod: dict[str, Any] = context.portal().call("pod", name=name)
    if pod.get("state") not in messages.LIVE or not pod.get("socket"):
        from podsh.commands.pods import state_words

        raise UsageError(
            f"has ended ({state_words(pod)})", place=show(name), hint=f"see: logs {show(name)}"
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
        pod = _live(name, context)
        channel = monitor(str(pod["socket"]), messages.EXEC)
        context.last_pod = name
        message = {"op": "exec", "argv": args.rest, "env": env, "cwd": args.maybe("cwd")}
        return drive(channel, message, streams, terminal, context, name)
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
) -> int:
    """Send ``message`` (start, exec) and see its program through; the exit code."""
    from podsh.console.attach import run_streams
    from podsh.console.stdio import OutRelay

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
    from podsh.console import attach as engine

    notices = None
    if attachment.raw:  # a person sits there, who may be asked
        from podsh.console.notices import Notices

        notices = Notices.open(attachment.name, titles=capable(), saved=attachment.alternate)
    attachment.notices = notices
    try:
        outcome = attachment.run(context.typeahead())
        attachment.notices = None
        if outcome.reason == engine.ATTENTION:
            if attachment.hold:
                context.held = (name, attachment)
            # until the console is there the person is still here: what waits goes on waiting
            return 0 if context.mode == "console" else _console(context, name)
    finally:
        if notices is not None:
            notices.close()
    if context.held is not None and context.held[1] is attachment:
        context.held = None
    if outcome.reason == engine.TAKEN:
        context.err(f"podsh: {show(name)} is now attached elsewhere")
    elif outcome.reason == engine.LOST:
        raise Disconnected("the pod's monitor is gone", place=show(name), hint="see: podsh ps")
    if outcome.denied and not attachment.raw:
        _denied(outcome.denied, context, name)
    if outcome.reason == engine.EXIT and attachment.alternate:
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
        for line in plain_lines(outcome.tail)[-_TAIL_LINES:]:
            context.row(f"{show(name, 24)} | {line}")
    if context.mode != "console" or attachment.hold:  # else an event says so
        how = f"killed by {signal_name(outcome.signal)}" if outcome.signal else ""
        context.err(f"podsh: {show(name)}: {how or f'exit {outcome.code}'}")


def _console(context: Context, name: str) -> int:
    """C-] in a command of the shell: the console, on the same pod, until ``quit``."""
    from podsh.console.app import open_console

    context.last_pod = name
    return open_console(context, entered=True)


# ---------------------------------------------------------------- logs


def logs(args: Args, context: Context) -> int:
    """What a pod has written: raw into files and pipes, as text on a terminal."""
    pod = context.portal().call("pod", name=args.text("pod"))
    if pod.get("socket") and pod.get("state") in messages.LIVE:
        chunks = _from_monitor(str(pod["socket"]), args.flag("follow"), context)
    else:
        chunks = _from_files(str(pod.get("state_dir") or ""))
    if context.mode == "console" or sys.stdout.isatty():
        _as_text(chunks, context)
    else:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return 0


def _from_monitor(path: str, follow: bool, context: Context) -> Iterator[bytes]:
    from podsh.errors import from_wire
    from podsh.portal.client import monitor
    from podsh.wire.framing import DATA

    channel = monitor(path, messages.LOGS)
    context.waits_on(channel)
    try:
        channel.send({"op": "logs", "follow": follow})
        while True:
            kind, frame = channel.receive()
            if kind == DATA:
                yield frame
            elif "error" in frame:
                raise from_wire(frame["error"])
            elif frame.get("ev") in ("end", "exit"):
                return
    except Disconnected:
        return  # the pod ended while we followed it
    finally:
        context.waits_on(None)
        channel.close()


def _from_files(directory: str) -> Iterator[bytes]:
    """The log of a pod whose monitor is gone: the older half, then the newer."""
    for name in ("log.1", "log"):
        try:
            with open(os.path.join(directory, name), "rb") as file:
                while chunk := file.read(1 << 18):
                    yield chunk
        except FileNotFoundError:
            continue


def _as_text(chunks: Iterator[bytes], context: Context) -> None:
    """Whole lines as they come, escape sequences taken out."""
    rest = b""
    for chunk in chunks:
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            for line in plain_lines(whole + newline):
                context.out(line)
            context.flush()
    for line in plain_lines(rest):
        context.out(line)
