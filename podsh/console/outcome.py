"""How an attachment ended, for what is done next."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXIT, ATTENTION, TAKEN, LOST, HANGUP, SIGNAL = (
    "exit",
    "attention",
    "taken",
    "lost",
    "hangup",
    "signal",
)


class Outcome:
    """How it ended: ``reason`` (EXIT, ATTENTION, TAKEN, LOST, HANGUP, SIGNAL).

    code: for EXIT the program's exit code (128+signal), for SIGNAL and HANGUP 128+signal.
    signal: the signal that ended the program, if one did. tail: the last that it wrote on
    its normal screen, where that was shown on the alternate one. typed: whether it got keys.
    denied: what the pod was refused because nobody was there to be asked.
    """

    __slots__ = ("code", "denied", "reason", "signal", "tail", "typed")

    def __init__(self, reason: str, code: int = 0, signal: int | None = None) -> None:
        self.reason = reason
        self.code = code
        self.signal = signal
        self.tail = b""
        self.typed = False
        self.denied: dict[str, Any] = {}
