"""The hello: same protocol, another one, and what is none."""

from __future__ import annotations

import pytest

from podsh.errors import UntrustedInput, UsageError
from podsh.wire import messages


def test_both_sides_accept_each_other() -> None:
    assert messages.check_hello(messages.hello(messages.ATTACH))["role"] == "attach"
    assert messages.check_hello(messages.hello_answer(7), "the running portal")["pid"] == 7


def test_another_protocol_is_named_with_the_way_out() -> None:
    older = {"hello": messages.PROTOCOL + 1, "version": "9.9\x1b[2J"}
    with pytest.raises(UsageError) as caught:
        messages.check_hello(older, "the running portal")
    text = str(caught.value)
    assert "the running portal: is podsh 9.9" in text
    assert f"protocol {messages.PROTOCOL + 1}" in text
    assert "podsh shutdown" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("frame", [{}, {"hello": True}, {"hello": "1"}, {"hello": 1, "role": "x"}])
def test_no_hello(frame: dict[str, object]) -> None:
    with pytest.raises(UntrustedInput):
        messages.check_hello(frame)
