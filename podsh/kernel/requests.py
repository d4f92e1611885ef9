"""What the system-call filter sends to the listener, as data: the calls of pathcalls.py. Pure.

Only what no refusal matches, so that no two rules of a call overlap: libseccomp silently drops
one of two that do. For the same reason nothing here allows: what is neither refused nor sent is
allowed because the whole filter allows by default.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from podsh.kernel import shim, uapi
from podsh.kernel.pathcalls import CALLS
from podsh.kernel.refusals import MAKINGS, MODES, OPENS, SETID_BITS, Compare, Differs, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podsh.kernel.refusals import Test
    from podsh.kernel.seccomp import FilterSpec

NOTIFY = 0x7FC00000  # SECCOMP_RET_USER_NOTIF, <linux/seccomp.h>

_SETID = sum(SETID_BITS)
_NO_COOKIE = Differs(shim.COOKIE_ARGUMENT, shim.COOKIE)


def requests(spec: FilterSpec) -> list[Rule]:
    """Every call that is sent to the listener of a pod with ``spec``."""
    if not spec.notify:
        return []
    rules = []
    for call, entry in CALLS.items():
        tests: tuple[Test, ...] = (_NO_COOKIE,) if entry.cookie else ()
        if entry.may_be_empty:
            assert entry.flags is not None
            tests = (Compare(entry.flags, uapi.AT_EMPTY_PATH, 0), *tests)
        rules += [Rule(call, NOTIFY, (*rest, *tests)) for rest in _not_refused(call, spec)]
    return rules


def _not_refused(call: str, spec: FilterSpec) -> Iterator[tuple[Test, ...]]:
    """What refusals.py leaves of a call, in parts that do not overlap."""
    if not spec.refuse_setid:
        yield ()
    elif call in MODES:
        yield (Compare(MODES[call], _SETID, 0),)
    elif call in OPENS:
        flags, mask = OPENS[call], sum(MAKINGS)
        yield (Compare(flags, mask, 0),)
        for bits in itertools.product(*((0, bit) for bit in MAKINGS)):
            if making := sum(bits):
                yield Compare(flags, mask, making), Compare(flags + 1, _SETID, 0)
    elif call != "openat2":
        yield ()
