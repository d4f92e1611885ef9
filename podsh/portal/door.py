"""Where clients come in: the portal's listening socket, who may, and what the others are told."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from podsh.errors import LaunchFailed, PodshError
from podsh.kernel import fds
from podsh.wire import messages
from podsh.wire.framing import encode_json

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

# without any descriptor left, nobody is let in for so long
PAUSE_S = 0.2


class Door:
    """``enter(sock)`` is called with each connection of this user's, outside of any pod."""

    def __init__(
        self,
        listener: socket.socket,
        loop: asyncio.AbstractEventLoop,
        enter: Callable[[socket.socket], None],
    ) -> None:
        self._listener = listener
        self._loop = loop
        self._enter = enter
        # given up for a moment to tell somebody that there is no other
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def open(self) -> None:
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Let nobody in any more."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def move(self, listener: socket.socket) -> None:
        """Go on at this one: the name of the other is gone."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        self._listener = listener
        self.open()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE):
                self._without(exc)
            return
        try:
            fds.check_peer(sock)
        except PodshError:
            sock.close()
        except OSError as exc:
            _turn_away(sock, exc)
        else:
            self._enter(sock)

    def _without(self, exc: OSError) -> None:
        """No descriptor is left: the one kept back lets one be told so."""
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
            try:
                _turn_away(self._listener.accept()[0], exc)
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                pass
        # ready for ever, and never accepted: look away for a moment
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(PAUSE_S, self._again)

    def _again(self) -> None:
        if self._listener.fileno() < 0:
            return
        if self._spare < 0:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                pass  # next time
        self._loop.add_reader(self._listener.fileno(), self._accept)


def _turn_away(sock: socket.socket, exc: OSError) -> None:
    """Say why. Whoever it is: nothing is told that the error itself does not say."""
    error = LaunchFailed(os.strerror(exc.errno or 0), place="the portal", hint="end some pods")
    answer = messages.hello_answer(os.getpid()) | {"error": error.to_wire()}
    with sock:
        sock.setblocking(False)
        try:
            sock.recv(4096)  # what is not read would be a reset, and the answer lost
        except OSError:
            pass
        try:
            sock.send(encode_json(answer))
        except OSError:
            pass
