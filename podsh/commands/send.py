"""send: type into a pod without attaching to it."""

from __future__ import annotations

import os

from podsh.console.render import show
from podsh.errors import UsageError, from_wire
from podsh.wire import messages
from podsh.wire.framing import JSON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

# what follows a backslash; a terminal's Enter sends a carriage return
_ESCAPES = {"n": "\r", "r": "\r", "t": "\t", "e": "\x1b", "\\": "\\"}
_MOST_BYTES = 64 << 10


def send(args: Args, context: Context) -> int:
    """Type TEXT, then the keys, into the pod's program."""
    from podsh.commands.attach import live
    from podsh.console.keynames import encoded
    from podsh.portal.client import monitor

    name, text = args.text("pod"), args.maybe("text") or ""
    typed = os.fsencode(text if args.flag("literal") else unescaped(text))
    keys = [encoded(key) for key in args.many("key")]
    if not typed and not keys:
        raise UsageError("nothing to type", place="send", hint=r"as in: podsh send web 'q\n'")
    if len(typed) > _MOST_BYTES:
        raise UsageError(f"more than {_MOST_BYTES >> 10} KiB", place="send", hint="in pieces")
    plain = typed + b"".join(key for key, _ in keys)
    moved = typed + b"".join(key for _, key in keys)
    channel = monitor(str(live(name, context)["socket"]), messages.ATTACH)
    context.waits_on(channel)
    try:
        fields = {"keys": plain.decode("latin-1"), "moved": moved.decode("latin-1")}
        channel.send({"op": "send", **fields})
        while True:
            kind, frame = channel.receive()
            if kind == JSON and "error" in frame:
                raise from_wire(frame["error"])
            if kind == JSON and frame.get("ev") == "sent":
                if args.flag("json"):
                    context.emit({"pod": name, "bytes": len(plain)}, "sent")
                return 0
    finally:
        context.waits_on(None)
        channel.close()


def unescaped(text: str) -> str:
    r"""``\n`` (Enter), ``\t``, ``\e``, ``\xHH`` and ``\\`` resolved. Raises UsageError."""
    parts = text.split("\\")
    out = [parts.pop(0)]
    while parts:
        part = parts.pop(0)
        if not part:  # a backslash before another
            if not parts:
                raise UsageError("nothing follows the last backslash", place="send")
            out.append("\\" + parts.pop(0))
        elif part[0] in _ESCAPES:
            out.append(_ESCAPES[part[0]] + part[1:])
        elif part[0] == "x" and _is_hex(part[1:3]):
            out.append(os.fsdecode(bytes([int(part[1:3], 16)])) + part[3:])
        else:
            hint = r"\n \t \e \xHH \\, or --literal"
            raise UsageError(f"unknown escape: {show(chr(92) + part[0])}", place="send", hint=hint)
    return "".join(out)


def _is_hex(digits: str) -> bool:
    return len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits)
