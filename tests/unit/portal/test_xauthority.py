"""Files of X authorities: those that xauth(1) writes, and whatever else may lie there."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.portal.xauthority import INTERNET, LOCAL, WILD, Entry, alone, best, cookie, read, write
from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(16))
HERE = [(LOCAL, b"here")]
strings = st.binary(max_size=40)
entries = st.builds(Entry, st.integers(0, 0xFFFF), strings, strings, strings, strings)


@given(st.lists(entries))
def test_what_is_written_is_read(some: list[Entry]) -> None:
    data = write(some)
    assert read(data) == some
    # cut anywhere, the whole ones are there
    for cut in range(0, len(data), 7):
        found = read(data[:cut])
        assert found == some[: len(found)]


@given(st.binary(max_size=400))
def test_anything_is_read(data: bytes) -> None:
    again = write(read(data))
    assert data.startswith(again)


def test_what_no_file_can_say() -> None:
    with pytest.raises(ValueError, match="65536 bytes"):
        write([cookie(0, b"x" * 65536)])


def test_as_xauth_does(tmp_path: Path) -> None:
    xauth = needs_program("xauth")
    path = tmp_path / "file"
    for display in ("here/unix:0", "192.0.2.1:3"):
        add = [xauth, "-q", "-f", path, "add", display, "MIT-MAGIC-COOKIE-1", KEY.hex()]
        subprocess.run(add, check=True)
    local, network = read(path.read_bytes())
    assert local == Entry(LOCAL, b"here", b"0", b"MIT-MAGIC-COOKIE-1", KEY)
    assert network[:3] == (INTERNET, bytes((192, 0, 2, 1)), b"3")
    path.write_bytes(write([alone(local, 0), network]))
    said = subprocess.run([xauth, "-f", path, "list"], check=True, capture_output=True, text=True)
    assert said.stdout.splitlines()[0].split() == ["#ffff##:0", "MIT-MAGIC-COOKIE-1", KEY.hex()]


def test_the_best_of_one_display() -> None:
    here = cookie(1, KEY)._replace(family=LOCAL, address=b"here")
    des = here._replace(name=b"XDM-AUTHORIZATION-1")
    odd = here._replace(name=b"SUN-DES-1")
    other = here._replace(number=b"2")
    there = here._replace(address=b"there")
    assert best([other, there], 1, HERE) is None
    assert best([other, odd, des, here, cookie(1, b"x")], 1, HERE) == here
    assert best([odd, des], 1, HERE) == des
    assert best([odd], 1, HERE) == odd
    any_display = here._replace(number=b"")
    assert best([any_display], 7, HERE) == any_display
    assert best([cookie(7, KEY)], 7, HERE) == cookie(7, KEY)
    assert alone(any_display, 7) == Entry(WILD, b"", b"7", b"MIT-MAGIC-COOKIE-1", KEY)
