"""What a command's handler gets besides its arguments: output, the portal, script variables."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from podsh.console.attach import Attachment
    from podsh.console.plain import Output
    from podsh.portal.client import Channel, Client

    T = TypeVar("T")

# so many portals that live no longer than that, one after the other, are enough
_SHORT_S = 0.05
_SHORT_LIVED = 3


class Context:
    """One surface (``shell``, ``script`` or ``console``) on which commands run.

    variables: ``$NAME`` of scripts and the console. place: ``file:line`` of the script's command
    being run. depth: of ``source``. leave: set by ``quit``.
    status: how the last command of a script or the console ended.
    last_pod: the one C-] goes to. typed: keys that came after the command, for the terminal that
    it takes. color: whether signs may be coloured.
    """

    def __init__(self, mode: str = "shell") -> None:
        self.mode = mode
        self.variables: dict[str, str] = {}
        self.place = ""
        self.depth = 0
        self.leave = False
        self.status = 0
        self.last_pod: str | None = None
        self.typed = b""
        # a program by exec that C-] left: (its pod, its connection)
        self.held: tuple[str, Attachment] | None = None
        # what ``wait POD text:RE`` has read of pods
        self.outputs: dict[str, Output] = {}
        self.color = (
            sys.stdout.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM", "dumb") != "dumb"
        )
        self._client: Client | None = None
        self._waiting: Channel | None = None

    @property
    def scripted(self) -> bool:
        """Whether a script's line is being run (``source`` in the console too), not a person's."""
        return self.mode == "script" or bool(self.place)

    def words(self) -> dict[str, str]:
        """What stands after a ``$`` in a line: the variables, and ``?``."""
        return {**self.variables, "?": str(self.status)}

    def typeahead(self) -> bytes:
        """The keys of ``typed``, once."""
        typed, self.typed = self.typed, b""
        return typed

    def portal(self) -> Client:
        """The connection to the portal, which is started if none is running."""
        if self._lost():
            from podsh.portal.client import connect

            self._client = connect()
        assert self._client is not None
        return self._client

    def running_portal(self) -> Client | None:
        """The connection to the portal if one is running; starts none."""
        if self._lost():
            from podsh.portal.client import connect_running

            self._client = connect_running()
        return self._client

    def patiently(self, ask: Callable[[Client], T]) -> T:
        """What ``ask`` gives, which waits for long: of the next portal where one dies meanwhile.
        One that was told to end is not followed by another; nor those that die again and again.
        """
        from time import monotonic, sleep

        from podsh.errors import Disconnected

        short = 0
        while True:
            client, begun = self.portal(), monotonic()
            try:
                return ask(client)
            except Disconnected:
                short = short + 1 if monotonic() < begun + _SHORT_S else 0
                if client.dismissed or short > _SHORT_LIVED:
                    raise
                self.close()
                if short:
                    sleep(_SHORT_S)  # its socket may take connections until all of it is gone
                else:
                    self.err("podsh: the portal died; another one finds the pods")

    def _lost(self) -> bool:
        """Whether there is no connection that could be used."""
        if self._client is not None and (self._client.closed or self._client.hung_up()):
            self.close()  # it was interrupted, or another portal has come
        return self._client is None

    def waits_on(self, channel: Channel | None) -> None:
        """The connection that the handler is going to wait on, where it is not the portal's."""
        self._waiting = channel

    def interrupt(self) -> None:
        """Break off what the handler is waiting for; called from another thread."""
        for channel in (self._waiting, self._client):
            if channel is not None:
                channel.interrupt()

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def out(self, line: str) -> None:
        """One line (or several) to standard output."""
        sys.stdout.write(line + "\n")

    @property
    def width(self) -> int:
        """The columns of the terminal that standard output is; 0 where it is none."""
        return _columns(1) if sys.stdout.isatty() else 0

    def row(self, line: str) -> None:
        """One line with names from outside; on a terminal what does not fit goes on indented, so
        that none of these begins a line."""
        self.out(_fitted(line, self.width))

    def err(self, line: str) -> None:
        """One line (or several) to standard error, fitted as those of ``row``."""
        sys.stderr.write(_fitted(line, _columns(2) if sys.stderr.isatty() else 0) + "\n")

    def flush(self) -> None:
        """Let the lines be seen now (a pipe buffers them)."""
        sys.stdout.flush()

    def emit(self, fields: Mapping[str, Any], ev: str = "row") -> None:
        """One JSON object on a line, flushed, with ``v``, ``ts`` and ``ev`` (what it is). A string
        that is not UTF-8 is given beside it too, as its bytes: ``path_b64`` for ``path``."""
        import json
        import time

        row = {"v": 1, "ts": time.time(), "ev": ev, **fields}
        sys.stdout.write(json.dumps(_encodable(row), separators=(",", ":")) + "\n")
        sys.stdout.flush()


def _encodable(value: Any) -> Any:
    """Without halves of surrogate pairs, which stand for bytes that are not UTF-8 (PEP 383)."""
    if isinstance(value, str):
        return _raw(value).decode("utf-8", "replace") if _foreign(value) else value
    if isinstance(value, dict):
        found = {str(_encodable(key)): _encodable(each) for key, each in value.items()}
        for key, each in value.items():
            if isinstance(each, str) and _foreign(each):
                import base64

                found[f"{key}_b64"] = base64.b64encode(_raw(each)).decode("ascii")
        return found
    return [_encodable(each) for each in value] if isinstance(value, (list, tuple)) else value


def _raw(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a pair, which no file's name gives, but JSON can
        return text.encode("utf-8", "replace")


def _foreign(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= char <= "\udcff" for char in text)


def _columns(fd: int) -> int:
    try:
        return os.get_terminal_size(fd).columns
    except OSError:
        return 0


def _fitted(text: str, width: int) -> str:
    if not width:
        return text
    from podsh.console.render import INDENT, wrapped

    return "\n".join(part for line in text.split("\n") for part in wrapped(line, width, INDENT))
