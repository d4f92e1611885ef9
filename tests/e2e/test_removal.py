"""Forgetting a pod the moment that it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

# a client that is quicker than any command line
QUICK = """
from podsh.portal.client import connect
portal = connect()
for turn in range(100):
    fields = {"argv": ["true"], "name": "gone", "detach": True, "cwd": "/", "environ": {}}
    portal.call("run", **fields)
    portal.call("wait", name="gone")
    portal.call("rm", name="gone")
"""


def test_rm_right_after_the_end(podsh: Podsh) -> None:
    """`rm` does not meet a monitor that still writes into the pod's state directory."""
    done = podsh.outside(str(podsh.command.parent / "python"), "-I", "-c", QUICK)
    assert (done.code, done.err) == (0, "")
    assert not (podsh.state / "podsh/pods/gone").exists()
