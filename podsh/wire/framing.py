"""Frames of the wire, without I/O: ``u32 length | u8 kind | payload``, big-endian.

``length`` counts the payload only. JSON frames carry one UTF-8 object, DATA frames raw
terminal bytes. A decoder never holds more than one frame above what it was fed.
"""

from __future__ import annotations

import struct

from podsh.errors import UntrustedInput
from podsh.wire import fastjson

TYPE_CHECKING = False  # `import typing` costs milliseconds on every command
if TYPE_CHECKING:
    from typing import Any

JSON = 0
DATA = 1
_HEADER = struct.Struct("!IB")
MAX_JSON_BYTES = 8 << 20
MAX_DATA_BYTES = 1 << 20
_MAX = {JSON: MAX_JSON_BYTES, DATA: MAX_DATA_BYTES}


def encode_json(message: dict[str, Any]) -> bytes:
    """One JSON frame. ``surrogateescape`` strings (paths) survive as ``\\udcXX`` escapes."""
    body = fastjson.dumps(message).encode("ascii")
    return _HEADER.pack(len(body), JSON) + body


def encode_data(data: bytes | bytearray | memoryview) -> bytes:
    """One DATA frame; at most MAX_DATA_BYTES."""
    return _HEADER.pack(len(data), DATA) + bytes(data)


class Decoder:
    """Turns fed bytes into frames: ``(JSON, dict)`` or ``(DATA, bytes)``.

    Raises UntrustedInput on an unknown kind, an over-long frame, or a JSON payload that is
    not an object; after that the connection is to be closed.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, Any]]:
        buffer = self._buffer
        buffer += data
        frames: list[tuple[int, Any]] = []
        at = 0
        while len(buffer) - at >= _HEADER.size:
            length, kind = _HEADER.unpack_from(buffer, at)
            if kind not in _MAX or length > _MAX[kind]:
                raise UntrustedInput(f"bad frame: kind {kind}, {length} bytes")
            end = at + _HEADER.size + length
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:  # which copies once, not twice
                payload = bytes(view[at + _HEADER.size : end])
            frames.append((kind, payload if kind == DATA else _object(payload)))
            at = end
        del buffer[:at]
        return frames

    @property
    def pending(self) -> int:
        """Bytes of an incomplete frame; 0 at a clean end of stream."""
        return len(self._buffer)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = fastjson.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise UntrustedInput(f"bad JSON frame: {exc}") from None
    if not isinstance(value, dict):
        raise UntrustedInput("bad JSON frame: not an object")
    return value
