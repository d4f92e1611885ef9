"""Errors that say place, cause and next step, and whose fault it is. Imports nothing."""

from __future__ import annotations


class PodshError(Exception):
    """One failure in the words a person reads.

    place: where it happened (``file:line``, a pod, a step), may be empty.
    cause: what is wrong, one line. hint: the next step, may be empty.
    Rendered as ``place: cause; hint``.
    """

    def __init__(self, cause: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.place}: {self.cause}" if self.place else self.cause
        return f"{text}; {self.hint}" if self.hint else text

    def to_wire(self) -> dict[str, str]:
        """The error as JSON-able fields: ``kind``, ``cause``, ``place``, ``hint``."""
        return {
            "kind": type(self).__name__,
            "cause": self.cause,
            "place": self.place,
            "hint": self.hint,
        }


class UsageError(PodshError):
    """The person asked for something that cannot be (a bad option, file or name)."""


class UntrustedInput(PodshError):
    """A peer or a jail sent what it must not; never the person's fault."""


class KernelLacks(PodshError):
    """This machine cannot do it: names the feature and the version or sysctl that has it."""


class LaunchFailed(PodshError):
    """A step of setting up or running a jail failed; ``place`` is the step and its path."""


class NotFound(LaunchFailed):
    """The program to run does not exist inside the pod (a shell's 127)."""


class NotExecutable(LaunchFailed):
    """The program exists inside the pod but cannot be executed (a shell's 126)."""


class Disconnected(PodshError):
    """The other end of a socket is gone."""


class TimedOut(PodshError):
    """A wait reached its limit."""


_KINDS: dict[str, type[PodshError]] = {
    kind.__name__: kind
    for kind in (
        PodshError,
        UsageError,
        UntrustedInput,
        KernelLacks,
        LaunchFailed,
        NotFound,
        NotExecutable,
        Disconnected,
        TimedOut,
    )
}


def from_wire(fields: dict[str, str]) -> PodshError:
    """Rebuild the error that ``to_wire`` described; an unknown kind becomes PodshError."""
    kind = _KINDS.get(str(fields.get("kind", "")), PodshError)
    return kind(
        str(fields.get("cause", "unknown error")),
        place=str(fields.get("place", "")),
        hint=str(fields.get("hint", "")),
    )
