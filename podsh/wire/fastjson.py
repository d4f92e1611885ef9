"""JSON by the C parts of Python's ``json``, which itself imports ``re``: 4 ms on every command.

``dumps`` writes what ``json.dumps(value, separators=(",", ":"))`` would. Where the C parts are not
there, or want to be called otherwise, ``json`` does both.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Settings:
    """What the scanner asks of a JSONDecoder."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float  # NaN, Infinity, -Infinity
    memo: dict[str, str] = {}  # noqa: RUF012  # the scanner in C has one of its own


def _unknown(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON")


try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner

    _scan = make_scanner(_Settings)  # type: ignore[arg-type]  # as json.scanner calls it
    _encode = make_encoder(
        None, _unknown, encode_basestring_ascii, None, ":", ",", False, False, True
    )
    if "".join(_encode({"a": [1, "\udc80"]}, 0)) != '{"a":[1,"\\udc80"]}':
        raise ValueError
    if _scan('{"a":[1.5]}', 0) != ({"a": [1.5]}, 11):
        raise ValueError
except (ImportError, AttributeError, TypeError, ValueError):
    import json

    def dumps(value: object) -> str:
        """One line of ASCII."""
        return json.dumps(value, separators=(",", ":"))

    def loads(data: bytes) -> Any:
        """The one value in ``data``. Raises ValueError, RecursionError."""
        return json.loads(data)

else:

    def dumps(value: object) -> str:
        """One line of ASCII."""
        return "".join(_encode(value, 0))

    def loads(data: bytes) -> Any:
        """The one value in ``data``. Raises ValueError, RecursionError."""
        text = data.decode("utf-8", "surrogatepass").strip(" \t\n\r")
        try:
            value, end = _scan(text, 0)
        except StopIteration as exc:
            raise ValueError(f"no value at {exc.value}") from None
        if end != len(text):
            raise ValueError(f"more than one value, at {end}")
        return value
