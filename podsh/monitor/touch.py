"""A path that a program asks for by name (kage), decided as if the program had touched it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podsh.jail.wants import drop, path_wants
from podsh.kernel.uapi import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.jail.live import Live
    from podsh.jail.wants import Want


class Touch:
    """A call of the desk's (``request.Call``) that no system call waits behind.

    ``decided`` is called once, when nothing more will be given for it.
    """

    __slots__ = ("_decided", "_live", "_path", "_write", "alive", "pid", "wants")

    def __init__(
        self,
        live: Live,
        pid: int,
        path: str,
        write: bool,
        alive: Callable[[], bool],
        decided: Callable[[], None],
    ) -> None:
        self._live = live
        self._path = path
        self._write = write
        self._decided = decided
        self.alive = alive
        self.pid = pid
        self.wants: list[Want] = []

    def look(self) -> None:
        """Find out what is to be decided; as slow as the host's filesystems may be."""
        try:
            self.wants = path_wants(self._live, self.pid, self._path, self._write)
        except OSError:
            pass  # gone meanwhile: nothing is

    def proceed(self) -> bool:
        """Nothing more comes."""
        drop(self.wants)
        self.wants = []
        self._decided()
        return self.alive()

    def interrupt(self) -> bool:
        """A signal waits for who asked; it ends by that."""
        return self.proceed()

    def there(self) -> bool:
        """Whether the pod has it now, writable if that was asked. As slow as the above."""
        try:
            path = self._live.absolute(self.pid, AT_FDCWD, self._path)
            seen = self._live.look(self.pid, path) if path is not None else None
        except OSError:
            return False
        return seen is not None and seen.here and not (self._write and seen.readonly)
