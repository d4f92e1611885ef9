"""The two kinds of people who run podsh: root, and an ordinary user."""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

TEST_USER = "podshtest"


class Caller(NamedTuple):
    """Who runs a command. ``name``: ``root`` or ``user``, as in the tests' ids."""

    name: str
    login: str
    uid: int
    gid: int

    @property
    def switch(self) -> bool:
        """Whether the suite has to become this user first."""
        return self.uid != os.getuid()

    def popen(self) -> dict[str, Any]:
        """Arguments of subprocess.Popen that make the child this user's."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def become(self) -> Callable[[], None] | None:
        """The same as a ``preexec_fn``; the terminal on descriptor 0 becomes the user's too."""
        if not self.switch:
            return None

        def switch() -> None:
            os.fchown(0, self.uid, self.gid)
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)

        return switch

    def own(self, path: os.PathLike[str] | str) -> None:
        """Make ``path`` this user's."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def names() -> list[str]:
    """The callers that this suite can be; ids of the parametrised tests."""
    return ["root", "user"] if os.getuid() == 0 else ["user"]


def caller(name: str) -> Caller:
    """The caller called ``name``; makes the ordinary user where root has none yet."""
    if name == "root" or os.getuid() != 0:
        entry = pwd.getpwuid(os.getuid())
    else:
        try:
            entry = pwd.getpwnam(TEST_USER)
        except KeyError:
            # another suite may be making it, too
            subprocess.run(["useradd", "-m", TEST_USER], check=False)
            entry = pwd.getpwnam(TEST_USER)
    return Caller(name, entry.pw_name, entry.pw_uid, entry.pw_gid)
