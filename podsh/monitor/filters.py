"""The system-call filter that a plan asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh import paths
from podsh.kernel import seccomp

if TYPE_CHECKING:
    from podsh.filtering import Filter


def spec_of(asked: Filter) -> seccomp.FilterSpec:
    """What the filter of a plan is made of; a trace has no lists, so that nothing is missing."""
    lists = not asked.trace
    return seccomp.FilterSpec(
        refuse_setid=asked.refuse_setid,
        ptrace=asked.ptrace,
        nesting=asked.nesting,
        new_filters=asked.new_filters,
        notify=asked.notify,
        trace=asked.trace,
        strict=asked.strict,
        # what the lists refuse is told of, by the monitor
        report=lists and bool(asked.allow or asked.block or asked.deny),
        allow=asked.allow if lists else None,
        block=asked.block if lists else (),
        deny=asked.deny if lists else (),
        abi=asked.abi,
        chroot="CAP_SYS_CHROOT" in asked.caps,
        packets=asked.packets,
        net_admin="CAP_NET_ADMIN" in asked.caps,
    )


def filter_of(asked: Filter) -> bytes:
    """The compiled filter: from the cache, or compiled now and kept there."""
    return seccomp.cached(spec_of(asked), os.path.join(paths.cache_dir(), "filters"))
