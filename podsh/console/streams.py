"""A program that podsh starts, on what podsh's own descriptors 0-2 are."""

from __future__ import annotations

from podsh.console.attach import Attachment
from podsh.console.keys import ATTENTION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.console.stdio import Streams
    from podsh.console.terminal import Terminal
    from podsh.portal.client import Channel


def run_streams(
    channel: Channel,
    message: dict[str, Any],
    streams: Streams,
    terminal: Terminal | None,
    *,
    hold: bool = False,
    alternate: bool = False,
    forward: bool = True,
    filtered: bool = True,
    key: int = ATTENTION,
    name: str = "",
) -> Attachment:
    """Send ``message`` (start or exec) with what 0-2 are; the attachment, not yet run."""
    rows, cols = terminal.size() if terminal is not None else (24, 80)
    here = {"tty": terminal is not None, "person": streams.raw, "stdio": streams.kinds}
    channel.send({**message, "rows": rows, "cols": cols, **here}, streams.passed)
    streams.close_passed()
    return Attachment(
        channel,
        terminal,
        raw=streams.raw,
        keys=streams.keys,
        alternate=alternate,
        forward=forward,
        hold=hold,
        filtered=filtered,
        key=key,
        name=name,
        relays=streams.relays,
    )
