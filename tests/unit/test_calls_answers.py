"""Rules judged by the monitor, against the filter that the kernel would have; what is told."""

from __future__ import annotations

import random

import pytest

from podsh.console.events import event_line
from podsh.filtering import Filter
from podsh.kernel import seccomp, syscalls
from podsh.kernel.refusals import refusals
from podsh.kernel.seccomp import FilterSpec
from podsh.monitor.calls import Calls, holds
from tests.kernel import bpf, test_seccomp

SPECS = (FilterSpec(), FilterSpec(refuse_setid=True, new_filters=False), FilterSpec(ptrace=True))


@pytest.mark.parametrize("spec", SPECS)
def test_a_trace_refuses_what_the_filter_would(spec: FilterSpec) -> None:
    arch = syscalls.native()
    code = bpf.decode(seccomp.build(spec))
    rules = refusals(spec)
    rng = random.Random(repr(spec))
    for call in {rule.call for rule in rules} & set(syscalls.NAMES[arch]):
        mine = [rule for rule in rules if rule.call == call]
        for _ in range(300):
            args = tuple(
                rng.choice(test_seccomp.INTERESTING) | rng.choice((0, rng.getrandbits(32))) << 32
                for _ in range(6)
            )
            found = next((rule.action for rule in mine if holds(rule, args)), bpf.ALLOW)
            number = syscalls.number(call)
            verdict = bpf.run(code, number, args, arch=syscalls.AUDIT_ARCH[arch]).action
            assert found == verdict, (call, [hex(arg) for arg in args])


def calls(**lists: object) -> Calls:
    fields = {"where": "/p/my.pod", "form": "pod", **lists}
    asked = Filter(False, **fields)  # type: ignore[arg-type]  # of the fields' own types
    spec = FilterSpec(allow=asked.allow, block=asked.block, deny=asked.deny, report=True)
    return Calls(asked, spec, lambda event: None)


def test_what_would_allow_a_call() -> None:
    listed = calls(allow=("read",), block=("kill",))
    assert listed.allowing("getpid") == "seccomp_allow getpid, in /p/my.pod"
    assert listed.allowing("kill") == "take seccomp_block kill out of /p/my.pod"
    toml = calls(allow=("read",), block=("kill",), form="toml", where="/p/x.toml")
    assert toml.allowing("getpid") == '"getpid" in [seccomp] allow of /p/x.toml'
    assert toml.allowing("kill") == "take kill from [seccomp] block in /p/x.toml"
    assert calls(deny=("kill",)).allowing("kill") == "take kill out of /p/my.pod"


def test_only_what_the_lists_are_about_is_looked_at_first() -> None:
    numbers = syscalls.NAMES[syscalls.native()]
    listed = calls(allow=("write",), block=("openat",))
    assert numbers["write"] in listed.simple
    assert numbers["execve"] in listed.simple
    assert numbers["openat"] not in listed.simple
    assert numbers["getpid"] not in listed.simple
    assert not listed.through


def test_the_line_of_a_call_shows_hostile_words_as_such() -> None:
    event = {"ev": "call", "pod": "p", "call": "getpid", "pid": 7, "ts": 0}
    told = event_line({**event, "verdict": "killed", "argv": ["/x/\x1b[2Jls"], "rule": "a\nb"})
    assert "!" in told
    assert "killed by call getpid" in told
    assert "\x1b" not in told
    assert "\n" not in told
    assert " - " in event_line({**event, "verdict": "refused", "argv": [], "rule": "r"})
