"""record: a pod's terminal into a file, as asciinema plays it.

https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

import json
import os
import time

from podsh.console.render import age, show
from podsh.errors import Disconnected, PodshError, UsageError, from_wire
from podsh.wire import messages
from podsh.wire.framing import DATA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args
    from podsh.portal.client import Channel

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def record(args: Args, context: Context) -> int:
    """From now until the pod ends or C-c; the pod cannot tell."""
    from podsh.commands.attach import live
    from podsh.portal.client import monitor

    name, path = args.text("pod"), os.path.expanduser(args.text("file"))
    pod = live(name, context)
    cast = Cast(path, overwrite=args.flag("overwrite"), raw=args.flag("raw"))
    try:
        channel = monitor(str(pod["socket"]), messages.WATCH)
        context.waits_on(channel)
        try:
            channel.send({"op": "watch", "replay": False})
            _follow(channel, cast, name, context)
        except KeyboardInterrupt:
            pass  # that is how it is ended
        except Disconnected:
            context.err(f"podsh: {show(name)}: its monitor is gone; what came before is recorded")
        finally:
            context.waits_on(None)
            channel.close()
    finally:
        cast.close()
    if args.flag("json"):
        seconds = round(cast.seconds, 3)
        context.emit({"pod": name, "path": path, "seconds": seconds, "events": cast.count}, "cast")
    else:
        context.out(f"{show(path)}: {age(cast.seconds)}, {cast.count} events")
    return 0


def _follow(channel: Channel, cast: Cast, name: str, context: Context) -> None:
    while True:
        kind, frame = channel.receive()
        if kind == DATA:
            cast.output(frame)
        elif "error" in frame:
            raise from_wire(frame["error"])
        elif frame.get("ev") == "watching":
            cast.begin(int(frame["rows"]), int(frame["cols"]), name)
            if not context.scripted:
                context.err(f"podsh: recording {show(name)}; C-c ends it")
        elif frame.get("ev") == "size":
            cast.resized(int(frame["rows"]), int(frame["cols"]))
        elif frame.get("ev") == "exit":
            return


class Cast:
    """An asciicast (version 2), made here for its owner alone. count: of its events.

    raw: what the program wrote as it is; else what a player's terminal may be shown, and
    nothing that asks it anything.
    """

    def __init__(self, path: str, *, overwrite: bool = False, raw: bool = False) -> None:
        import codecs

        from podsh.console.filter import Filter

        if overwrite:
            try:
                os.unlink(path)  # the name: what a link points to stays
            except FileNotFoundError:
                pass
        try:
            self._fd = os.open(path, _FLAGS, 0o600)
        except FileExistsError:
            raise UsageError("is there already", place=show(path), hint="--overwrite") from None
        except OSError as exc:
            raise UsageError(f"cannot be made: {exc.strerror}", place=show(path)) from None
        self._path = path
        self._filter = None if raw else Filter(queries=False)
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._started = time.monotonic()
        self.count = 0
        self.seconds = 0.0

    def begin(self, rows: int, cols: int, title: str) -> None:
        """The header, and the time from which on is counted."""
        header = {"version": 2, "width": cols, "height": rows, "timestamp": int(time.time())}
        term = os.environ.get("TERM") or "xterm-256color"
        self._write({**header, "title": show(title), "env": {"TERM": term}})
        self._started = time.monotonic()

    def output(self, data: bytes) -> None:
        """What the program wrote, cut anywhere."""
        text = self._text.decode(self._filter.feed(data) if self._filter is not None else data)
        if text:
            self._event("o", text)

    def resized(self, rows: int, cols: int) -> None:
        """Its terminal's new size."""
        self._event("r", f"{cols}x{rows}")

    def _event(self, code: str, text: str) -> None:
        self.seconds = time.monotonic() - self._started
        self.count += 1
        self._write([round(self.seconds, 6), code, text])

    def _write(self, value: Any) -> None:
        data = json.dumps(value).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as exc:
            raise PodshError(f"{exc.strerror}", place=show(self._path)) from None

    def close(self) -> None:
        if self._fd >= 0:
            self.seconds = max(self.seconds, 0.0)
            os.close(self._fd)
            self._fd = -1
