"""A process of a standby's jail that waits to be its program, under the filter that most pods have,
and who answers its calls: there before anybody asks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh.filtering import Filter
from podsh.jail import encode
from podsh.jail.live import Live
from podsh.monitor.connect import Connector
from podsh.monitor.filters import filter_of, spec_of
from podsh.monitor.listen import Listeners
from podsh.operations import Tmpfs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podsh.jail.orders import Init
    from podsh.kernel.seccomp import FilterSpec
    from podsh.operations import Op


class Parked:
    """That process, in a jail of which ``ops`` were prepared. ``listeners`` are its pod's, with
    what they look at, unless they are abandoned."""

    __slots__ = ("connector", "killable", "listeners", "spec")

    def __init__(self, init: Init, ops: Iterable[Op]) -> None:
        """Raises LaunchFailed, and OSError."""
        usual = Filter(refuse_setid=os.getuid() == 0, notify=True)
        self.spec = spec_of(usual)
        live = Live.to_be(init.pid)
        try:
            for op in ops:
                if isinstance(op, Tmpfs) and op.path != "/":
                    live.own |= live.device(op.path)
            code = filter_of(usual)
            found = init.park(encode.program(argv=("",), env=(), cwd=(), filter=code, listen=True))
        except BaseException:
            live.close()
            raise
        self.killable = found.killable
        self.connector = Connector(live.root)
        self.listeners = Listeners(live)
        self.listeners.misses()  # what misses something before its pod's monitor is there, waits
        for fd in found.fds:
            self.listeners.listen(fd)

    def fits(self, spec: FilterSpec, group: object, rest: Iterable[Op]) -> bool:
        """Whether it can be the program of a pod with that filter. What is in a ``group`` has to be
        forked there; what ``rest`` makes was not looked at."""
        return spec == self.spec and group is None and not any(isinstance(op, Tmpfs) for op in rest)
