"""wait: until a pod ends, asks for something, or writes a text."""

from __future__ import annotations

import os
import time

from podsh.console.render import show
from podsh.errors import Disconnected, PodshError, TimedOut, UsageError
from podsh.wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args
    from podsh.console.plain import Output
    from podsh.portal.client import Client

_TEXT = "text:"
_READ_BYTES = 1 << 18


def wait(args: Args, context: Context) -> int:
    """Wait for a pod's end; its exit code. For its next request; that is then $REQ. Or for a text;
    what matched is then $MATCH (its first group, where the expression has one)."""
    limit, what, name = args.maybe("timeout"), args.text("what"), args.text("pod")
    seconds = _seconds(limit) if limit is not None else None
    if what.startswith(_TEXT):
        return _text(name, _pattern(what.removeprefix(_TEXT)), seconds, args, context)
    if what not in ("exit", "request"):
        from podsh.commands.syntax import near

        hint = near(what, ("exit", "request")) or "one of: exit, request, text:RE"
        raise UsageError(f"not {what!a}", place="wait", hint=hint)
    end = time.monotonic() + seconds if seconds is not None else None

    def wait_for(portal: Client) -> dict[str, Any]:
        left = max(end - time.monotonic(), 0.0) if end is not None else None
        return portal.call("wait", what=what, name=name, timeout_s=left)

    if what == "request":
        answer = context.patiently(wait_for)
        context.variables["REQ"] = ident = str(answer["request"])
        if args.flag("json"):
            rows = context.portal().call("requests", all=True)["requests"]
            row = next((row for row in rows if str(row["id"]) == ident), {"id": int(ident)})
            context.emit({"pod": name, **row}, "request")
        elif context.mode == "shell":
            context.out(ident)
        return 0
    answer = context.patiently(wait_for)
    if args.flag("json"):
        row = {"pod": name, "code": answer["exit"], "signal": answer.get("signal")}
        context.emit(row, "exit")
    return int(answer["exit"])


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise UsageError(f"-t takes seconds, not {text!a}", place="wait")
    return seconds


def _pattern(text: str) -> re.Pattern[str]:
    import re

    if not text:
        raise UsageError("which text?", place="wait", hint="as in: podsh wait web text:ready")
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as exc:
        raise UsageError(f"{text!a} is no regular expression: {exc}", place="wait") from None


# ---------------------------------------------------------------- text


def _text(
    name: str, pattern: re.Pattern[str], seconds: float | None, args: Args, context: Context
) -> int:
    from podsh.console.plain import Output

    pod: dict[str, Any] = context.portal().call("pod", name=name)
    started = float(pod.get("started") or 0.0)
    output = context.outputs.get(name)
    if output is None or output.started != started:
        output = context.outputs[name] = Output(started)
    found = output.find(pattern)
    if found is None:
        found = _search(pod, output, lambda: output.find(pattern), seconds, context)
    if found is None:
        said = "has ended, and did not write that"
        raise PodshError(said, place=show(name), hint=f"see: podsh logs {show(name)}")
    match = (found[1] or "") if pattern.groups else found[0]
    context.variables["MATCH"] = match
    if args.flag("json"):
        context.emit({"pod": name, "match": match}, "text")
    return 0


def _search(
    pod: dict[str, Any],
    output: Output,
    find: Callable[[], re.Match[str] | None],
    seconds: float | None,
    context: Context,
) -> re.Match[str] | None:
    """Read on until ``find`` does; None at the end of the output. Raises TimedOut."""
    if pod.get("socket") and pod.get("state") in messages.LIVE:
        try:
            return _live(str(pod["name"]), str(pod["socket"]), output, find, seconds, context)
        except Disconnected:
            pass  # it has just ended: the rest is on disk
    _from_disk(str(pod.get("state_dir") or ""), output)
    return find()


def _live(
    name: str,
    path: str,
    output: Output,
    find: Callable[[], re.Match[str] | None],
    seconds: float | None,
    context: Context,
) -> re.Match[str] | None:
    import select

    from podsh.portal.client import monitor
    from podsh.wire.framing import DATA

    end = time.monotonic() + seconds if seconds is not None else None
    channel = monitor(path, messages.LOGS)
    context.waits_on(channel)
    try:
        channel.send({"op": "logs", "follow": True, "start": output.place})
        while True:
            left = max(end - time.monotonic(), 0) if end is not None else None
            if not select.select([channel], [], [], left)[0]:
                raise TimedOut("has not written that", place=show(name))
            for kind, frame in channel.read():
                if kind == DATA:
                    output.feed(frame)
                elif frame.get("ev") == "from":
                    output.skip_to(int(frame["place"]))
                elif frame.get("ev") == "exit":
                    output.end()
                    return find()
                elif "error" in frame:  # it is just ending
                    raise Disconnected("is not running", place=show(name))
            found = find()
            if found is not None:
                return found
    finally:
        context.waits_on(None)
        channel.close()


def _from_disk(directory: str, output: Output) -> None:
    """What an ended pod wrote after ``output.place``."""
    files = []
    for name in ("log.1", "log"):
        try:
            with open(os.path.join(directory, name), "rb") as file:
                files.append(file.read())
        except OSError:
            continue
    data = b"".join(files)
    begin = max(_logged(directory) - len(data), 0)
    if output.place < begin:
        output.skip_to(begin)
    for at in range(output.place - begin, len(data), _READ_BYTES):
        output.feed(data[at : at + _READ_BYTES])
    output.end()


def _logged(directory: str) -> int:
    """How much the pod wrote in all, as its monitor left word."""
    import json

    try:
        with open(os.path.join(directory, "exit.json"), encoding="utf-8") as file:
            return int(json.load(file).get("logged", 0))
    except (OSError, ValueError, TypeError, AttributeError):
        return 0
