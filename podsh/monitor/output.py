"""What a program writes, kept in files: by a process that reads to the end, whatever becomes of
the monitor (``native/init/log.c``)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh import paths
from podsh.errors import LaunchFailed
from podsh.monitor.logs import LOG_BYTES, Kept, Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from podsh.monitor.loop import Loop
    from podsh.operations import Program

Stdio = tuple[int | None, int | None, int | None]

# its files are written when the pod's programs are gone; a reader that takes nothing is not
# waited for without an end
SETTLE_S = 10.0
_TRIES = 100  # other names, where there is a file of that name


class Output:
    """Of one pod. Owns the file that the person gets, and the process that writes it."""

    def __init__(self, program: Program, state_dir: str, kept: Kept) -> None:
        """Create the file, if one is wanted. kept: the pod's log. Raises LaunchFailed."""
        self._kept = kept
        self._daemon = program.daemon
        self._state_dir = state_dir
        self._file = -1
        self.path = ""
        if program.log:
            self._create(program.log)
        self._pid = 0
        self._done = -1  # ends with the process
        self._own: list[int] = []

    def _create(self, path: str) -> None:
        stem, ending = os.path.splitext(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        for number in range(_TRIES):
            self.path = f"{stem}-{number}{ending}" if number else path
            try:
                self._file = os.open(self.path, flags, 0o600)
                return
            except FileExistsError:
                continue
            except OSError as exc:
                raise LaunchFailed(
                    f"the log cannot be written: {exc.strerror}",
                    place=path,
                    hint="start it in a directory where you may write",
                ) from None
        raise LaunchFailed("there are too many logs of that name", place=path)

    def redirected(self, stdio: Stdio) -> Stdio:
        """0-2 as the program gets them; what was given stays the caller's, who calls ``given``
        once they are handed over. Raises LaunchFailed.

        A terminal stays one: what comes from it is written by ``log``.
        """
        if self._daemon:
            read_end, write_end = self._pipe()
            self._keep([(read_end, -1)], self._state_dir)
            return (-1, write_end, write_end)
        if self._file < 0:
            return stdio
        found: list[int | None] = [stdio[0]]
        streams: list[tuple[int, int]] = []
        same: dict[tuple[int, int], int] = {}
        for fd in stdio[1:]:
            if fd is None:
                found.append(None)
                continue
            status = os.fstat(fd) if fd >= 0 else None
            key = (status.st_dev, status.st_ino) if status else (0, 0)
            if key not in same:
                read_end, same[key] = self._pipe()
                streams.append((read_end, fd))
            found.append(same[key])
        if streams:
            self._keep(streams, "")
        return (found[0], found[1], found[2])

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        self._own += ends
        return ends

    def _keep(self, streams: list[tuple[int, int]], directory: str) -> None:
        """Start the process that reads ``streams``: (from, onto which it goes as well)."""
        self._done, held = self._pipe()
        self._own.remove(self._done)
        opened = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if directory else -1
        if opened >= 0:
            self._own.append(opened)
        words = ["podsh-init", "log", str(LOG_BYTES)]
        actions: list[tuple[int, ...]] = []
        # the numbers that it gets are above all that are open here, so that none covers another
        number = max([held, opened, self._file, *self._own, *(fd for _, fd in streams)]) + 1
        for fd in (opened, self._file, *(fd for stream in streams for fd in stream), held):
            if fd >= 0:
                actions.append((os.POSIX_SPAWN_DUP2, fd, number))
            words.append(str(number) if fd >= 0 else "-1")
            number += fd >= 0
        words.pop()  # held open, and never used
        try:
            self._pid = os.posix_spawn(paths.init_binary(), words, {}, file_actions=actions)
        except OSError as exc:
            raise LaunchFailed(f"the log: {os.strerror(exc.errno or 0)}", place="spawn") from None

    def given(self) -> None:
        """The program has what it needs: only it, and the process, hold the pipes now."""
        for fd in self._own:
            os.close(fd)
        self._own = []

    def log(self, fresh: bool) -> Log | Both:
        """Where what comes from a terminal is written. fresh: first of all."""
        own = Log(self._kept, fresh)
        return Both(own, os.dup(self._file)) if self._file >= 0 else own

    def settled(self, loop: Loop, callback: Callable[..., object], *args: Any) -> bool:
        """Whether all is written that will be; else ``callback`` is called when it is."""
        if self._done < 0:
            return True
        if not loop.remove_reader(self._done):
            loop.call_later(SETTLE_S, self._settle, loop, callback, *args)
        loop.add_reader(self._done, self._settle, loop, callback, *args)
        return False

    def _settle(self, loop: Loop, callback: Callable[..., object], *args: Any) -> None:
        if self._done < 0:
            return
        loop.remove_reader(self._done)
        os.close(self._done)
        self._done = -1
        if self._pid:
            try:
                os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:
                pass
        callback(*args)

    def close(self) -> None:
        self.given()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Both:
    """The pod's own log, and the file that the person gets: with plain newlines."""

    def __init__(self, own: Log, file: int) -> None:
        self._own = own
        self._file = file
        self._return = False  # the last was a carriage return: of a newline, or not

    def write(self, data: bytes) -> None:
        self._own.write(data)
        if self._return:
            data = b"\r" + data
        self._return = data.endswith(b"\r")
        try:
            os.write(self._file, (data[:-1] if self._return else data).replace(b"\r\n", b"\n"))
        except OSError:
            pass  # a full disk loses log lines, never the pod

    def close(self) -> None:
        self._own.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
