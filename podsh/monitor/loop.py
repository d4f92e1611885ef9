"""The monitor's event loop: descriptors, timers, signals, words from other threads.

The part of asyncio's loop that a monitor needs, by the same names. A pod costs what its monitor
has touched of the zygote's memory, and asyncio alone was a quarter of that.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = tuple[Callable[..., object], tuple[Any, ...]]


# what is to be called for one descriptor
_READER, _WRITER = 0, 1


def _events(watched: list[Call | None]) -> int:
    reading = 0 if watched[_READER] is None else select.POLLIN
    return reading | (0 if watched[_WRITER] is None else select.POLLOUT)


class Loop:
    """Calls what is due, one thing after the other; what they raise is printed, and goes no
    further. Everything but ``call_soon_threadsafe`` is for the loop's own thread."""

    time = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, list[Call | None]] = {}
        self._soon: deque[Call] = deque()
        # the number keeps those of the same moment in order, and calls from being compared
        self._later: list[tuple[float, int, Call]] = []
        self._number = 0
        self._at_rest: tuple[float, Callable[[], object]] | None = None
        self._resting = False
        self._waking, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.add_reader(self._waking, self._woken)

    def close(self) -> None:
        """Give up its own descriptors; those that it watched stay their owners'."""
        os.close(self._waking)
        os.close(self._wake)

    # -- descriptors

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call whenever ``fd`` can be read, or has ended."""
        self._more(fd, _READER, (callback, args))

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call whenever ``fd`` can be written, or has ended."""
        self._more(fd, _WRITER, (callback, args))

    def add_watch(self, fd: int, events: int, callback: Callable[..., object], *args: Any) -> None:
        """Call whenever poll(2) says ``events`` of ``fd``; until ``remove_reader``."""
        self._watched.setdefault(fd, [None, None])[0] = (callback, args)
        self._poll.register(fd, events)

    def remove_reader(self, fd: int) -> bool:
        """Stop that; before ``fd`` is closed. False where nothing was to be called."""
        return self._less(fd, _READER)

    def remove_writer(self, fd: int) -> bool:
        """As ``remove_reader``."""
        return self._less(fd, _WRITER)

    def _more(self, fd: int, way: int, call: Call) -> None:
        watched = self._watched.setdefault(fd, [None, None])
        watched[way] = call
        self._poll.register(fd, _events(watched))

    def _less(self, fd: int, way: int) -> bool:
        watched = self._watched.get(fd)
        if watched is None or watched[way] is None:
            return False
        watched[way] = None
        if events := _events(watched):
            self._poll.modify(fd, events)
        else:
            self._poll.unregister(fd)
            del self._watched[fd]
        return True

    # -- time, threads, signals

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> None:
        """Call once, that much later."""
        self._number += 1
        heapq.heappush(self._later, (self.time() + delay_s, self._number, (callback, args)))

    def at_rest(self, after_s: float, callback: Callable[[], object]) -> None:
        """Call whenever there was something to do, and then nothing for so long."""
        self._at_rest = (after_s, callback)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call once, after what is being done."""
        self._soon.append((callback, args))

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        """Call once, from any thread."""
        self._soon.append((callback, args))
        try:
            os.write(self._wake, b"\0")
        except BlockingIOError:
            pass  # it is awake

    def add_signal_handler(self, signo: int, callback: Callable[..., object], *args: Any) -> None:
        """Call for every such signal, or several."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signo, lambda *_: self._soon.append((callback, args)))

    def _woken(self) -> None:
        try:
            os.read(self._waking, 4096)
        except BlockingIOError:
            pass

    # -- running

    def run(self, until: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Go on until ``until()``, which is asked after every turn, or for so long."""
        end = None if timeout_s is None else self.time() + timeout_s
        while not until():
            left = None if end is None else end - self.time()
            if left is not None and left <= 0:
                return
            self._turn(left)

    def _turn(self, patience_s: float | None) -> None:
        if self._soon:
            patience_s = 0.0
        elif self._later:
            due = max(self._later[0][0] - self.time(), 0.0)
            patience_s = due if patience_s is None else min(due, patience_s)
        rest = None if self._resting else self._at_rest
        if rest is not None and (patience_s is None or patience_s > rest[0]):
            patience_s = rest[0]
        else:
            rest = None
        # rounded up: a timer is not looked for before it is due
        found = self._poll.poll(None if patience_s is None else -int(-patience_s * 1000 // 1))
        self._resting = rest is not None and not found
        if rest is not None and not found:
            self._call((rest[1], ()))
        # by what was asked for: a number may be another descriptor's in the midst of these
        for fd, mask, watched in [(fd, mask, self._watched[fd]) for fd, mask in found]:
            if mask & ~select.POLLOUT and self._watched.get(fd) is watched:
                self._call(watched[_READER])
            if mask & ~select.POLLIN and self._watched.get(fd) is watched:
                self._call(watched[_WRITER])
        now = self.time()
        while self._later and self._later[0][0] <= now:
            self._call(heapq.heappop(self._later)[2])
        for _ in range(len(self._soon)):
            self._call(self._soon.popleft())

    @staticmethod
    def _call(call: Call | None) -> None:
        if call is None:
            return
        try:
            call[0](*call[1])
        except Exception:
            import traceback  # the monitor goes on; stderr is the portal's log

            traceback.print_exc(file=sys.stderr)
