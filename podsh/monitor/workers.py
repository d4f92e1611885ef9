"""Calls that may wait for long, each in a thread: few threads, more while calls wait."""

from __future__ import annotations

import _thread
import signal
import time
from _queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

# what has not ended by then is said to wait
TICK_S = 0.1
_IDLE_S = 10.0
_MOST = 128  # threads, the waiting ones included
_END_S = 2.0
# makes a waiting call end with EINTR
_INTERRUPT = signal.SIGUSR2


class Job(Protocol):
    def run(self) -> None:
        """Once, in a thread; a call that ends with EINTR was interrupted."""

    def is_over(self) -> bool:
        """Whether what it waits for is wanted no more: asked now and then while it runs."""


class _Running(NamedTuple):
    job: Job
    since: float


class Workers:
    """``most`` threads beside those that wait. ``begin``: called in each thread at its start.

    To be made in the main thread, which alone may say what a signal does. By ``_thread``: what
    ``threading`` does after a fork costs each monitor memory.
    """

    def __init__(self, most: int, begin: Callable[[], None]) -> None:
        self._most = most
        self._begin = begin
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = _thread.allocate_lock()  # of what follows
        self._running: dict[int, _Running] = {}
        self._threads = 0
        self._idle = 0
        self._due = 0  # not begun
        self._waiting = 0
        self._watching = False
        self._closed = False
        # without SA_RESTART, as signal(2) of Python always is
        signal.signal(_INTERRUPT, _nothing)

    @property
    def busy(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def alive(self) -> bool:
        """Whether it has threads."""
        return self._threads > 0 or self._watching

    def submit(self, job: Job) -> bool:
        """Run it soon; never waits. False: there is no thread to be had for it."""
        with self._lock:
            if self._idle <= self._due:
                self._more()
            if not self._threads:
                return False
            self._due += 1
            self._queue.put(job)
            return True

    def close(self) -> None:
        """End what runs, and every thread. What has not begun is not run."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._queue.put(None)
        end = time.monotonic() + _END_S
        while self.alive and time.monotonic() < end:
            with self._lock:
                self._interrupt(self._running)
            # and again: a thread that had not begun to wait has not noticed
            time.sleep(TICK_S / 10)

    def _more(self) -> None:
        """One thread more, if that is not too many. With the lock."""
        if self._threads - self._waiting >= self._most or self._threads >= _MOST:
            return
        try:
            _thread.start_new_thread(self._work, ())
        except RuntimeError:
            return  # the system has none to give: those that are there do it
        self._threads += 1

    def _work(self) -> None:
        self._begin()
        ident = _thread.get_ident()
        while (job := self._next(ident)) is not None:
            try:
                job.run()
            finally:
                with self._lock:
                    del self._running[ident]

    def _next(self, ident: int) -> Job | None:
        """The next job, in the table of those that run; None: the thread has to end."""
        while True:
            with self._lock:
                self._idle += 1
            try:
                job = self._queue.get(timeout=_IDLE_S)
            except Empty:
                job = None
            with self._lock:
                self._idle -= 1
                if not self._closed and job is None and self._due > self._idle:
                    continue  # it came just now
                self._due -= job is not None
                if self._closed or job is None:
                    self._threads -= 1
                    return None
                self._running[ident] = _Running(job, time.monotonic())
                if not self._watching:
                    try:
                        _thread.start_new_thread(self._watch, ())
                        self._watching = True
                    except RuntimeError:
                        pass  # the next one will
                return job

    def _watch(self) -> None:
        """While something runs: end what nobody wants any more, replace the threads that wait."""
        while True:
            time.sleep(TICK_S)
            with self._lock:
                late = time.monotonic() - TICK_S
                waiting = {i: one for i, one in self._running.items() if one.since <= late}
                self._waiting = len(waiting)
                if self._due > self._idle:
                    self._more()
                if self._closed or not self._running:
                    self._watching = False
                    return
            over = {ident: one for ident, one in waiting.items() if one.job.is_over()}
            with self._lock:
                self._interrupt(over)

    def _interrupt(self, those: dict[int, _Running]) -> None:
        """With the lock: a thread is there as long as it is in the table."""
        for ident, one in those.items():
            if self._running.get(ident) is one:
                signal.pthread_kill(ident, _INTERRUPT)


def _nothing(_signo: int, _frame: object) -> None:
    """It is the interruption that counts."""
