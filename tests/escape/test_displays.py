"""A pod that was given one display, of the host's network or none, reaches no other."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from podsh.portal import xauthority
from tests.escape.yard import NOTHING, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.escape.yard import Yard

ABSENT = ("ENOENT",)
NOBODY = ("ECONNREFUSED",)
DIRECTORY = "/tmp/.X11-unix"

ROWS = (
    Row("other_display", ABSENT),
    Row("other_display_abstract", NOBODY),
    Row("display_abstract", NOBODY),
    Row("other_display_by_parent", ABSENT),
    Row("other_cookie", NOTHING),
)
# what a pod shares with the host does not make it the host's
SIGNALS = (
    Row("kill_outside", ("ESRCH",)),
    Row("signal_outside_by_pidfd", ("ESRCH",)),
    Row("queue_signal_outside", ("ESRCH",)),
    Row("see_outside", NOTHING),
)
ABSTRACT = (Row("host_abstract", NOBODY),)


@pytest.fixture
def displays(yard: Yard) -> Iterator[Yard]:
    """Two that listen, the first the current one; the caller has the cookies of both."""
    podsh = yard.podsh
    made: list[socket.socket] = []
    entries = []
    if not os.path.isdir(DIRECTORY):
        os.mkdir(DIRECTORY)
        os.chmod(DIRECTORY, 0o1777)
    # the same for every row: a pod tries them all
    first = 10000 + 10 * (os.getpid() % 4000) + 2 * (podsh.caller.name == "root")
    for number, fact in ((first, "display"), (first + 1, "other_display")):
        path = f"{DIRECTORY}/X{number}"
        for address in (path, "\0" + path):
            made.append(socket.socket(socket.AF_UNIX))
            made[-1].bind(address)
            made[-1].listen(100)
        os.chmod(path, 0o777)
        yard.facts[fact] = path
        entries.append(xauthority.cookie(number, bytes((number % 256,) * 16)))
    file = podsh.file(podsh.home / ".Xauthority", xauthority.write(entries), 0o600)
    yard.facts |= {"other_cookie": entries[1].data.hex(), "authorities": str(file)}
    podsh.env["DISPLAY"] = f":{first}"
    yield yard
    del podsh.env["DISPLAY"]
    file.unlink()
    for one in made:
        one.close()
    for fact in ("display", "other_display"):
        os.unlink(yard.facts.pop(fact))


@pytest.mark.parametrize("net", ["none", "host"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_displays(row: Row, net: str, displays: Yard) -> None:
    displays.check("displays", ROWS, row, options=("--x11", "--net", net))


@pytest.mark.parametrize("row", SIGNALS, ids=lambda row: row.name)
def test_processes_of_the_hosts_network(row: Row, yard: Yard) -> None:
    yard.check("processes", SIGNALS, row, options=("--net", "host"))


@pytest.mark.parametrize("row", ABSTRACT, ids=lambda row: row.name)
def test_abstract_sockets_of_the_hosts_network(row: Row, yard: Yard) -> None:
    yard.check("sockets", ABSTRACT, row, options=("--net", "host"))
