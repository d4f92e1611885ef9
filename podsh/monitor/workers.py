"""Calls that may wait for long, each in a thread: few threads, more while calls wait."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque
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

    To be made in the main thread, which alone may say what a signal does.
    """

    def __init__(self, most: int, begin: Callable[[], None]) -> None:
        self._most = most
        self._begin = begin
        self._queue: deque[Job] = deque()
        self._running: dict[int, _Running] = {}
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._busy = threading.Event()
        self._watcher: threading.Thread | None = None
        # without SA_RESTART, as signal(2) of Python always is
        signal.signal(_INTERRUPT, _nothing)

    def submit(self, job: Job) -> bool:
        """Run it soon; never waits. False: there is no thread to be had for it."""
        with self._changed:
            self._queue.append(job)
            self._provide()
            if not self._threads:
                self._queue.remove(job)
            return bool(self._threads)

    def close(self) -> None:
        """End what runs, and every thread. What has not begun is not run."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = [*self._threads, *filter(None, (self._watcher,))]
        self._busy.set()
        end = time.monotonic() + _END_S
        for thread in threads:
            while thread.is_alive() and time.monotonic() < end:
                self._interrupt()
                thread.join(TICK_S)

    def _provide(self) -> None:
        """Have a thread for what is queued. With the lock."""
        if self._idle >= len(self._queue):
            self._changed.notify()
        elif len(self._threads) - self._waiting < self._most and len(self._threads) < _MOST:
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="worker", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # the system has none to give: those that are there do it
        self._threads.add(thread)

    def _work(self) -> None:
        self._begin()
        with self._changed, contextlib.suppress(RuntimeError):
            if self._watcher is None:
                watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
                watcher.start()
                self._watcher = watcher
        ident = threading.get_ident()
        while (job := self._next(ident)) is not None:
            try:
                job.run()
            finally:
                with self._changed:
                    del self._running[ident]
        with self._changed:
            self._threads.discard(threading.current_thread())

    def _next(self, ident: int) -> Job | None:
        with self._changed:
            while not self._queue:
                self._idle += 1
                called = not self._closed and self._changed.wait(_IDLE_S)
                self._idle -= 1
                if self._closed or not (called or self._queue):
                    return None
            job = self._queue.popleft()
            self._running[ident] = _Running(job, time.monotonic())
        self._busy.set()
        return job

    def _watch(self) -> None:
        """End the jobs that nobody wants any more, and replace the threads that wait."""
        while True:
            self._busy.wait()
            self._busy.clear()
            while True:
                time.sleep(TICK_S)
                with self._changed:
                    if self._closed:
                        return
                    late = time.monotonic() - TICK_S
                    waiting = {i: r.job for i, r in self._running.items() if r.since <= late}
                    self._waiting = len(waiting)
                    if self._queue:
                        self._provide()
                    if not self._running:
                        break
                over = {ident for ident, job in waiting.items() if job.is_over()}
                with self._changed:
                    for ident in over:
                        running = self._running.get(ident)
                        if running is not None and running.job is waiting[ident]:
                            # the thread is there as long as it is in that table
                            signal.pthread_kill(ident, _INTERRUPT)

    def _interrupt(self) -> None:
        with self._changed:
            for ident in self._running:
                signal.pthread_kill(ident, _INTERRUPT)


def _nothing(_signo: int, _frame: object) -> None:
    """It is the interruption that counts."""
