"""What most pods begin with, attached in a standby's jail before anybody asks for a pod.

When one is asked for, every path is looked at again: what it names now must be the object that
was attached, reached by the same directories and links, with no mount made or gone since.
"""

from __future__ import annotations

import os
import select
import stat
from typing import TYPE_CHECKING

from podsh.jail.build import Builder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh import operations as p
    from podsh.jail.generation import Generation


class Usual:
    """Operations that a standby's init was given. Owns, with its builder, what was found.

    ``records`` and ``mounts`` are for init; the rest of a plan is ``builder.more``'s.
    """

    __slots__ = (
        "_absent",
        "_links",
        "_mountinfo",
        "_objects",
        "builder",
        "mounts",
        "ops",
        "records",
    )

    def __init__(self, ops: Sequence[p.Op], generation: Generation) -> None:
        """Raises LaunchFailed where something needed is not there."""
        self.ops = tuple(ops)
        # from here on the kernel counts changes for it: man 5 proc_pid_mountinfo
        self._mountinfo = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self.builder = Builder(self.ops, generation)
        try:
            self.records, self.mounts = self.builder.shown(0)
            self._objects: dict[str, tuple[int, int]] = {}
            for bound in self.builder.at.values():
                self._objects[bound.src] = bound.object
                self._note_parents(bound.src)
            self._links = dict(self.builder.links)
            for link in self._links:
                self._note_parents(link)
            self.builder.freeze()
            self._absent = tuple(self.builder.absent)
        except BaseException:
            self.close()
            raise

    def _note_parents(self, path: str) -> None:
        while (path := os.path.dirname(path)) not in self._objects:
            found = os.lstat(path)
            self._objects[path] = (found.st_dev, found.st_ino)

    def attached(self) -> None:
        """Init has attached the mounts: they are held there from now on."""
        self.builder.close_mounts()

    def holds(self) -> bool:
        """Whether walking every path now would find what was found then.

        The objects of then are held: their numbers are nobody else's. Equal numbers of every
        component, none of them a link, the links' texts, and no change of mounts: the same walk.
        """
        poll = select.poll()
        poll.register(self._mountinfo, select.POLLPRI)
        if poll.poll(0):
            return False
        try:
            for path, numbers in self._objects.items():
                found = os.lstat(path)
                if (found.st_dev, found.st_ino) != numbers or stat.S_ISLNK(found.st_mode):
                    return False
            if any(os.readlink(link) != target for link, target in self._links.items()):
                return False
        except OSError:
            return False
        return not any(map(_is_there, self._absent))

    def close(self) -> None:
        """Let go of everything; what init has attached stays."""
        if self._mountinfo >= 0:
            os.close(self._mountinfo)
            self._mountinfo = -1
            self.builder.close()
            # memory for what comes: a pod may live long
            del self.builder, self.records, self.mounts, self._objects


def _is_there(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True
