"""The one door to libc for calls that Python lacks: a prototype declared once, one errcheck."""

from __future__ import annotations

import ctypes
import os

from podsh.kernel.syscalls import NAMES, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)


def _word(value: object) -> str:
    """One argument as a person reads it: bytes as a quoted path, integers as they are."""
    if isinstance(value, bytes):
        return repr(os.fsdecode(value))
    if isinstance(value, int):
        return str(value) if -4096 < value < 4096 else hex(value)
    return "…"


def raise_error(call: str, arguments: tuple[Any, ...]) -> None:
    """Raise the OSError for errno; ``filename`` is the call as it was made."""
    code = ctypes.get_errno()
    made = f"{call}({', '.join(_word(value) for value in arguments)})"
    raise OSError(code, os.strerror(code), made)


def function(name: str, result: Any, *parameters: Any) -> Callable[..., int]:
    """A libc function whose negative results raise OSError with the call and its arguments."""
    prototype = ctypes.CFUNCTYPE(result, *parameters, use_errno=True)
    bound = prototype((name, _libc))

    def check(value: int, _func: object, arguments: tuple[Any, ...]) -> int:
        if value < 0:
            raise_error(name, arguments)
        return value

    bound.errcheck = check  # type: ignore[assignment]  # typeshed wants CDLL functions only
    return bound


def system_call(name: str, *parameters: Any) -> Callable[..., int]:
    """As ``function``, through syscall(2), for what libc does not wrap.

    On an architecture that podsh has no table for every such call is ENOSYS.
    """
    prototype = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, *parameters, use_errno=True)
    bound = prototype(("syscall", _libc))

    def check(value: int, _func: object, arguments: tuple[Any, ...]) -> int:
        if value < 0:
            raise_error(name, arguments[1:])
        return value

    bound.errcheck = check  # type: ignore[assignment]  # as above
    nr = NAMES.get(native(), {}).get(name, -1)
    return lambda *arguments: bound(nr, *arguments)
