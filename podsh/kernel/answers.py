"""Held calls that lack nothing, answered by a small library without Python (native/monitor).

What it answers is a program's call going on, and the kernel decides; only whether somebody is
asked before depends on it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from ctypes import c_int, c_uint32, c_uint64, c_void_p
from typing import NamedTuple

from podsh import paths
from podsh.kernel.notify import NOTIF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Rule(NamedTuple):
    """A call that looks or executes. ``nr``: its number; the others: indexes of arguments, -1:
    none. ``by``, ``flags``: on which it depends what it lacks. ``looks``: unless a bit of
    ``writes`` is in argument ``by``."""

    nr: int
    path: int
    by: int
    flags: int
    looks: bool
    writes: int


class Miss(NamedTuple):
    """A held call that only looks, at the host's object ``path``, which the pod lacks: it is held
    by ``fd`` (O_PATH, the receiver's). ``pid``: of the thread."""

    id: int
    device: int
    listener: int
    pid: int
    fd: int
    is_dir: bool
    path: str


# struct miss of native/monitor/answer.c, without the path, which ends it
_MISS = struct.Struct("=QQiiiII")
_MISS_BYTES = 4096  # PIPE_BUF

# without Python's lock: a thread waits in it
_library = ctypes.CDLL(paths.monitor_library())


def _bind(name: str, result: type | None, *parameters: type) -> ctypes._NamedFuncPointer:
    function = _library[f"podsh_{name}"]
    function.restype, function.argtypes = result, parameters
    return function


_new = _bind("answers", c_void_p, c_uint32, c_int)
_rule = _bind("answers_rule", None, c_void_p, *(c_uint32, c_int, c_int, c_int, c_int, c_uint32))
_connect = _bind("answers_connect", None, c_void_p, c_int)
_misses = _bind("answers_misses", None, c_void_p, c_int)
_device = _bind("answers_device", c_int, c_void_p, c_uint64, c_int)
_believe = _bind("answers_believe", None, c_void_p, c_void_p)
_forget = _bind("answers_forget", None, c_void_p)
_count = _bind("answers_count", c_uint64, c_void_p)
_free = _bind("answers_free", None, c_void_p)
_desk = _bind("desk", c_void_p)
_desk_free = _bind("desk_free", None, c_void_p)
_serve = _bind("answers_serve", c_int, c_void_p, c_int, c_void_p)


class Answers:
    """Of one pod, for all its listeners. ``root``: an O_PATH descriptor of the pod's root, the
    caller's to keep open. ``arch``: AUDIT_ARCH_* of the calls' numbers. MemoryError."""

    __slots__ = ("_at", "_pipe")

    def __init__(self, arch: int, root: int, rules: Iterable[Rule]) -> None:
        self._pipe: tuple[int, ...] = ()
        self._at = _new(arch, root)
        if not self._at:
            raise MemoryError
        for rule in rules:
            _rule(self._at, *rule)

    def connect(self, number: int) -> None:
        """The number of connect(2), whose addresses are believed to be nobody's as well."""
        _connect(self._at, number)

    def misses(self) -> int:
        """From now on plain misses come by this descriptor, to be read by ``miss``. To be called
        before anything is received."""
        if not self._pipe:
            # a datagram of up to PIPE_BUF bytes is never cut
            self._pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK | os.O_DIRECT)
            _misses(self._at, self._pipe[1])
        return self._pipe[0]

    def miss(self) -> Miss:
        """The next of them. BlockingIOError: there is none."""
        data = os.read(self._pipe[0], _MISS_BYTES)
        ident, device, listener, pid, fd, is_dir, _ = _MISS.unpack_from(data)
        path = os.fsdecode(data[_MISS.size :])
        return Miss(ident, device, listener, pid, fd, bool(is_dir), path)

    def own(self, device: int) -> None:
        """A filesystem of the pod's own: what nobody may read there is a place to mount on, and
        counts as absent. OSError: too many."""
        self._known(device, 0)

    def masks(self, device: int) -> None:
        """A filesystem that hides paths: what lies there counts as absent. OSError: too many."""
        self._known(device, 1)

    def _known(self, device: int, masks: int) -> None:
        if code := _device(self._at, device, masks):
            raise OSError(code, os.strerror(code), "a pod's filesystems")

    def forget(self) -> None:
        """Nothing is believed any more."""
        _forget(self._at)

    @property
    def count(self) -> int:
        """How many calls came so far."""
        return int(_count(self._at))

    def close(self) -> None:
        """Not while a thread serves."""
        _free(self._at)
        for fd in self._pipe:
            os.close(fd)


class Desk:
    """Where a thread receives calls: its own, closed by it."""

    __slots__ = ("_answers", "_at", "_note")

    def __init__(self, answers: Answers) -> None:
        self._answers = answers._at
        self._at = _desk()
        if not self._at:
            raise MemoryError
        self._note = (ctypes.c_char * NOTIF.size).from_address(self._at)

    def receive(self, listener: int) -> tuple[int, ...]:
        """The next call that may lack something, as the fields of ``notify.NOTIF``; others were
        answered meanwhile. FileNotFoundError: as ``notify.receive``."""
        if code := _serve(self._answers, listener, self._at):
            raise OSError(code, os.strerror(code))
        return NOTIF.unpack(self._note)

    def believe(self) -> None:
        """The call received last lacked nothing that is to be had, or connects to nobody: for a
        while, so do others like it."""
        _believe(self._answers, self._at)

    def close(self) -> None:
        """Once; nothing may be received after."""
        _desk_free(self._at)
