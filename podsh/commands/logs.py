"""logs: what a pod has written, as text, as bytes, or as its last screen."""

from __future__ import annotations

import os
import sys

from podsh.console.render import show
from podsh.errors import Disconnected, UsageError
from podsh.wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

# the last screen is drawn from so much of the output
_SCREEN_BYTES = 512 << 10
_PAGERS = ("less", "more")


def logs(args: Args, context: Context) -> int:
    """What a pod has written: lines of text, page by page where they are more than a screen."""
    pod = context.portal().call("pod", name=args.text("pod"))
    log = _Log(pod, context)
    say = _json if args.flag("json") else _line
    if args.flag("raw"):
        if args.flag("screen") or args.flag("json"):
            other = "screen" if args.flag("screen") else "json"
            raise UsageError(f"--raw and --{other} do not go together", place="logs")
        if os.isatty(1):
            raise UsageError(
                "what a pod wrote, byte by byte, is not for a terminal",
                place="logs --raw",
                hint=f"attach --watch --raw {show(args.text('pod'))}, or into a file or a pipe",
            )
        for chunk in log.chunks(args.flag("follow")):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    elif args.flag("screen"):
        if args.flag("follow"):
            raise UsageError("--screen and -f do not go together", place="logs", hint="attach")
        for line in _screen(log):
            say(line, pod, context)
    elif args.flag("follow") or args.flag("json") or not _person(context):
        for lines in _text(log.chunks(args.flag("follow"))):
            for line in lines:
                say(line, pod, context)
            context.flush()
    else:
        _page([line for lines in _text(log.chunks(False)) for line in lines], pod, context)
    return 0


def _json(line: str, pod: dict[str, Any], context: Context) -> None:
    context.emit({"pod": pod.get("name"), "text": line}, "line")


def _line(line: str, pod: dict[str, Any], context: Context) -> None:
    """In the console each line says whose it is: none can be taken for podsh's own."""
    if context.mode == "console":
        context.row(f"{show(str(pod.get('name', '?')), 24)} | {line}")
    else:
        context.out(line)


def _person(context: Context) -> bool:
    """Whether somebody reads this on a terminal."""
    return not context.scripted and os.isatty(0) and os.isatty(1)


class _Log:
    """A pod's output. size: rows and columns of its terminal, once ``chunks`` has been read."""

    def __init__(self, pod: dict[str, Any], context: Context) -> None:
        self._pod = pod
        self._context = context
        self.size = (24, 80)

    def chunks(self, follow: bool) -> Iterator[bytes]:
        """All of it, from the oldest that is kept."""
        if self._pod.get("socket") and self._pod.get("state") in messages.LIVE:
            return self._from_monitor(str(self._pod["socket"]), follow)
        return self._from_files(str(self._pod.get("state_dir") or ""))

    def _from_monitor(self, path: str, follow: bool) -> Iterator[bytes]:
        from podsh.errors import from_wire
        from podsh.portal.client import monitor
        from podsh.wire.framing import DATA

        channel = monitor(path, messages.LOGS)
        self._context.waits_on(channel)
        try:
            channel.send({"op": "logs", "follow": follow})
            while True:
                kind, frame = channel.receive()
                if kind == DATA:
                    yield frame
                elif "error" in frame:
                    raise from_wire(frame["error"])
                elif frame.get("ev") == "size":
                    self.size = (int(frame["rows"]), int(frame["cols"]))
                elif frame.get("ev") in ("end", "exit"):
                    return
        except Disconnected:
            return  # the pod ended while we followed it
        finally:
            self._context.waits_on(None)
            channel.close()

    def _from_files(self, directory: str) -> Iterator[bytes]:
        """The log of a pod whose monitor is gone: the older half, then the newer."""
        import json

        try:
            with open(os.path.join(directory, "exit.json"), "rb") as file:
                size = json.load(file)["size"]
            self.size = (int(size[0]), int(size[1]))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # it was killed, or never ran: nobody wrote one
        for name in ("log.1", "log"):
            try:
                with open(os.path.join(directory, name), "rb") as file:
                    while chunk := file.read(1 << 18):
                        yield chunk
            except FileNotFoundError:
                continue


def _text(chunks: Iterable[bytes]) -> Iterator[list[str]]:
    """Whole lines as they come, escape sequences taken out."""
    from podsh.console.text import Text

    text = Text()
    for chunk in chunks:
        yield text.feed(chunk)
    yield text.end()


def _screen(log: _Log) -> list[str]:
    """What would be seen by who attaches."""
    from podsh.console.emulate import last_screen

    data = b""
    for chunk in log.chunks(False):
        data = (data + chunk)[-_SCREEN_BYTES:]
    return last_screen(data, *log.size)


def _page(lines: list[str], pod: dict[str, Any], context: Context) -> None:
    """On a terminal: through a pager what is more than a screen, so that it can be searched, and
    leaves no trace on the screen."""
    from podsh.console.render import cells
    from podsh.console.terminal import size_of

    rows, cols = size_of(1)
    pager = _pager() if sum(max(-(-cells(line) // cols), 1) for line in lines) >= rows else []
    if not pager:
        for line in lines:
            _line(line, pod, context)
        return
    import subprocess

    context.flush()
    reader = subprocess.Popen(pager, stdin=subprocess.PIPE)
    assert reader.stdin is not None
    try:
        with reader.stdin as pipe:
            for line in lines:
                pipe.write(line.encode("utf-8", "replace") + b"\n")
    except BrokenPipeError:
        pass  # they have seen enough
    while True:
        try:
            reader.wait()
            return
        except KeyboardInterrupt:
            continue  # it was for the pager


def _pager() -> list[str]:
    """$PAGER, or the first that is there; none: nothing is to be paged."""
    import shlex
    import shutil

    if os.environ.get("TERM", "dumb") == "dumb":
        return []
    named = os.environ.get("PAGER")
    if named is not None:
        try:
            words = shlex.split(named)
        except ValueError:
            words = []
        return words if words and words != ["cat"] and shutil.which(words[0]) else []
    return next(([path] for name in _PAGERS if (path := shutil.which(name))), [])
