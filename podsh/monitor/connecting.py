"""A connect(2) that is to be decided, as the desk takes calls."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh.jail.wants import Want, drop

if TYPE_CHECKING:
    from podsh.monitor.connect import Connect, Connector


class Connecting:
    """``wants``: the socket, until it was allowed."""

    def __init__(self, connector: Connector, connect: Connect) -> None:
        self._connector = connector
        self._connect = connect
        self.pid = connect.pid
        object = connect.held if connect.held is not None else connect.copy
        held = os.dup(object.fileno())
        self.wants = [
            Want(connect.path, "connect", held, False, True, connect.asked, (), connect.settled)
        ]

    def proceed(self) -> bool:
        """Connect it, or if that was not allowed, refuse it. False: the caller is gone."""
        alive = self._connect.alive()
        if self.wants:
            self._clear()
            self._connector.refuse(self._connect)
        else:
            self._connector.approve(self._connect)
        return alive

    def interrupt(self) -> bool:
        """Have it end for a signal that waits."""
        self._clear()
        return self._connect.interrupt()

    def alive(self) -> bool:
        """Whether its caller still waits."""
        return self._connect.alive()

    def _clear(self) -> None:
        drop(self.wants)
        self.wants = []
