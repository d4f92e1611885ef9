"""The person's terminal: reopened, never changed for others, always put back as it was found."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time

from podsh.console import filter, keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_SIZE = (24, 80)
FENCE_S = 0.5
# one that has answered before is only slow
_SLOW_FENCE_S = 2.0
_STUCK_S = 1.0
_WINSIZE = struct.Struct("HHHH")  # struct winsize of ioctl_tty(2)
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6


def size_of(fd: int) -> tuple[int, int]:
    """Rows and columns of a terminal; 24 x 80 where it does not know."""
    try:
        rows, cols, _, _ = _WINSIZE.unpack(fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return DEFAULT_SIZE
    return (rows, cols) if rows and cols else DEFAULT_SIZE


class Terminal:
    """Owns a descriptor of its own to the terminal that ``fd`` is open on.

    The terminal is reopened by its name, so that O_NONBLOCK does not leak to the shell, which
    shares the inherited descriptor's flags. Where that may not be (another user's terminal) the
    descriptor is duplicated, and stays blocking.
    """

    __slots__ = ("_before", "_blocking", "fd", "raw")
    answers = False  # whether one has answered a fence; of the process, which has but one

    def __init__(self, fd: int) -> None:
        try:
            self.fd = os.open(
                os.ttyname(fd), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
            )
            self._blocking = False
        except OSError:
            self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
            self._blocking = True
        self._before: list[Any] | None = None
        self.raw = False

    def close(self) -> None:
        """Put the modes back and give the descriptor up; may be called twice."""
        if self.fd >= 0:
            self.restore()
            os.close(self.fd)
            self.fd = -1

    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return size_of(self.fd)

    def foreground(self) -> bool:
        """Whether this process may read the terminal and change its modes without being stopped."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return True  # not our controlling terminal: no job control on it

    # -- modes

    def set_raw(self, *, signals: bool = False) -> None:
        """Every key as it is typed, no echo. signals: keep Ctrl-C and output processing.

        Raises OSError where the terminal has hung up.
        """
        try:
            self._set_raw(signals)
        except termios.error as exc:  # no OSError, though it carries an errno
            raise OSError(*exc.args) from None

    def _set_raw(self, signals: bool) -> None:
        now = termios.tcgetattr(self.fd)
        if self._before is None:
            self._before = [*now[:_CC], list(now[_CC])]
        now[_IFLAG] &= ~(
            termios.BRKINT
            | termios.IGNBRK
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        now[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN)
        if not signals:
            now[_LFLAG] &= ~termios.ISIG
            now[_OFLAG] &= ~termios.OPOST
        now[_CFLAG] = now[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        now[_CC][termios.VMIN], now[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(self.fd, termios.TCSADRAIN, now)
        self.raw = True

    def restore(self) -> None:
        """The modes as they were found."""
        if self._before is not None and self.raw:
            try:
                termios.tcsetattr(self.fd, termios.TCSADRAIN, self._before)
            except (OSError, termios.error):
                pass  # the terminal is gone
        self.raw = False

    # -- bytes

    def read(self) -> bytes | None:
        """What was typed; None: nothing yet; empty: the terminal is gone."""
        try:
            return os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write what the terminal takes now; the count. Raises OSError where it is gone."""
        if self._blocking:
            data = memoryview(data)[:1024]
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0

    def write_all(self, data: bytes) -> bool:
        """Write all of it, unless the terminal takes nothing for a second."""
        view = memoryview(data)
        while view:
            if not select.select([], [self.fd], [], _STUCK_S)[1]:
                return False
            try:
                view = view[self.write(view) :]
            except OSError:
                return False
        return True

    def fence(self, outstanding: int = 0) -> bytes:
        """Throw away what the terminal answers to the pod's questions, until it answers ours.

        outstanding: how often it was asked the same (DSR) by the pod, and has not yet answered.
        Needs raw mode. Gives up after half a second without the answer, or two where the terminal
        has answered before; returns what was thrown away.
        """
        if not self.write_all(filter.WELL):
            return b""
        got = b""
        end = time.monotonic() + (_SLOW_FENCE_S if Terminal.answers else FENCE_S)
        while got.count(keys.WELL) <= outstanding:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                break
            data = self.read()
            if not data:
                break
            got += data
        else:
            Terminal.answers = True
        return got
