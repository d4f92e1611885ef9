"""What the portal asks a monitor that goes meanwhile."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from podsh.errors import UsageError
from podsh.portal.fleet import Fleet
from podsh.portal.pods import RUNNING, Pod
from podsh.wire.framing import Decoder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_monitor_that_ends_without_an_answer_is_not_waited_for(tmp_path: Path) -> None:
    """Else `requests`, and with it a console's toolbar and events, stand still for ten seconds."""
    happened: list[dict[str, Any]] = []

    async def ask() -> None:
        fleet = Fleet(happened.append)
        pod = fleet.pods["web"] = Pod("web", "base", str(tmp_path), str(tmp_path / "socket"))
        pod.state = RUNNING
        ours, theirs = socket.socketpair()
        fleet._connect("web", ours)
        asking = asyncio.create_task(fleet.ask("web", "requests"))
        await asyncio.sleep(0)
        ((_, asked),) = Decoder().feed(theirs.recv(4096))
        assert asked["op"] == "requests"
        theirs.close()
        with pytest.raises(UsageError, match="has ended"):
            await asyncio.wait_for(asking, 5.0)
        assert pod.ended
        fleet.standbys._host._file.close()

    asyncio.run(ask())
    assert [event["ev"] for event in happened] == ["lost"]
