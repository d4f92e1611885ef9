"""Signals as bytes on a descriptor, for a poll loop in the main thread."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # without its enums, which take 3 ms

_ALWAYS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGWINCH", "SIGCONT")
_FORWARDED = ("SIGUSR1", "SIGUSR2")


class Signals:
    """Collects signals while it lives; those ignored before stay ignored (nohup).

    forward: also those that mean something to a program only. fd: to be polled.
    """

    def __init__(self, forward: bool) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._handlers: dict[int, Any] = {}
        for name in (*_ALWAYS, *(_FORWARDED if forward else ())):
            number = getattr(signal, name)
            if signal.getsignal(number) != signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, _noted)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def read(self) -> bytes:
        """The numbers of the signals that came."""
        try:
            return os.read(self.fd, 64)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        os.close(self.fd)
        os.close(self._write)


def _noted(_number: int, _frame: object) -> None:
    """The wakeup descriptor tells; Python needs a handler to be there."""
