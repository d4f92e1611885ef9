"""Words of the wire: protocol number, roles, states, the hello. No I/O.

A connection begins with one hello frame each way; a peer that speaks another protocol is told
so in words (``check_hello``). What the frames after it contain is described beside each op.
"""

from __future__ import annotations

from podsh.errors import UntrustedInput, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 1
VERSION = "0.1.0"

# roles of a connection, in the client's hello
CLIENT = "client"  # to the portal: calls and events
PORTAL = "portal"  # the portal itself, to a monitor
ATTACH = "attach"  # to a monitor: the terminal of the main program
EXEC = "exec"  # one more program
WATCH = "watch"  # output only
LOGS = "logs"  # what was written so far
FILES = "files"  # what the pod sees, by a descriptor of its root
MONITOR_ROLES = frozenset((PORTAL, ATTACH, EXEC, WATCH, LOGS, FILES))
ROLES = MONITOR_ROLES | {CLIENT}

# what a message raises whose fields are not of the kinds that they are taken for
BAD_MESSAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# the portal's last word to each client, where it was told to end
BYE = {"bye": 1}

# states of a pod
BUILDING = "building"  # the jail is being made
READY = "ready"  # built, its program not yet started
RUNNING = "running"
EXITED = "exited"
FAILED = "failed"  # never ran
LOST = "lost"  # its monitor died
LIVE = frozenset((BUILDING, READY, RUNNING))

# entries of ``stdio`` in start and exec
STDIO_PTY = "pty"
STDIO_FD = "fd"  # a descriptor that comes with the frame
STDIO_NULL = "null"  # the pod's own /dev/null


def hello(role: str) -> dict[str, Any]:
    """The first frame of a client."""
    return {"hello": PROTOCOL, "version": VERSION, "role": role}


def hello_answer(pid: int) -> dict[str, Any]:
    """The first frame of the side that was connected to."""
    return {"hello": PROTOCOL, "version": VERSION, "pid": pid}


def check_hello(frame: dict[str, Any], who: str = "the client") -> dict[str, Any]:
    """The peer's hello, if it speaks our protocol.

    who: the peer, for the message. Raises UsageError where the protocols differ,
    UntrustedInput for what is no hello at all.
    """
    theirs = frame.get("hello")
    if type(theirs) is not int:
        raise UntrustedInput("the first frame is no hello", place=who)
    if theirs != PROTOCOL:
        version = ascii(frame.get("version", "?"))[1:20].strip("'")
        raise UsageError(
            f"is podsh {version} (protocol {theirs}), this is {VERSION} (protocol {PROTOCOL})",
            place=who,
            hint="end the older one with: podsh shutdown (pods stay), then try again",
        )
    if frame.get("role", CLIENT) not in ROLES:
        raise UntrustedInput("unknown role", place=who)
    return frame
