"""Addresses of UNIX sockets. Imported by every command: as little as can be."""

from __future__ import annotations

import os

# sun_path of man 7 unix, without its NUL
_MAX_ADDRESS = 107


class Address:
    """The address of a UNIX socket, however long its path: through a handle on its directory.

    A context manager that gives the text for bind, connect or connect_ex.
    """

    __slots__ = ("_directory", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._directory = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _MAX_ADDRESS:
            return self._path
        directory, name = os.path.split(self._path)
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._directory}/{name}"

    def __exit__(self, *_: object) -> None:
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1
