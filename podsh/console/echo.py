"""Whether a terminal shows what is typed (ECHO of man 3 termios)."""

from __future__ import annotations

import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LFLAG = 3


@contextmanager
def echo(fd: int, on: bool) -> Iterator[None]:
    """Set it meanwhile, and put the modes back; nothing where ``fd`` is no terminal."""
    try:
        before = termios.tcgetattr(fd)
    except termios.error:
        yield
        return
    modes = [*before]
    modes[_LFLAG] = before[_LFLAG] | termios.ECHO if on else before[_LFLAG] & ~termios.ECHO
    termios.tcsetattr(fd, termios.TCSANOW, modes)
    try:
        yield
    finally:
        try:
            termios.tcsetattr(fd, termios.TCSANOW, before)
        except termios.error:
            pass  # the terminal is gone
