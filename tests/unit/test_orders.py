"""Encodings of jail/orders.py, byte by byte; no init, no kernel."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import pytest

from podsh.jail import encode, orders


def test_plan_bytes() -> None:
    plan = encode.plan([encode.root(0o755, 4096), encode.directory("/a", 0o700)])
    assert plan == (
        b"PODP"
        + struct.pack("<II", 1, 2)
        + struct.pack("<IIQQ", 1, 16, 0o755, 4096)
        + struct.pack("<III", 3, 15, 2)
        + b"/a\0"
        + struct.pack("<Q", 0o700)
    )


@pytest.mark.parametrize(
    ("record", "opcode", "payload"),
    [
        (encode.tmpfs("/t", 1, 2, True), 2, b"\2\0\0\0/t\0" + struct.pack("<QQQ", 1, 2, 1)),
        (encode.link("x", "/l"), 4, b"\1\0\0\0x\0\2\0\0\0/l\0"),
        (
            encode.file("/f", 0o644, b"a\0b"),
            5,
            b"\2\0\0\0/f\0" + struct.pack("<QI", 0o644, 3) + b"a\0b\0",
        ),
        (
            encode.mount(7, "/m", True, False),
            6,
            struct.pack("<Q", 7) + b"\2\0\0\0/m\0" + struct.pack("<QQ", 1, 0),
        ),
        (encode.proc("/proc"), 7, b"\5\0\0\0/proc\0"),
        (encode.devpts("/p", 9), 8, b"\2\0\0\0/p\0" + struct.pack("<Q", 9)),
        (encode.mask("/m", False), 9, b"\2\0\0\0/m\0" + struct.pack("<Q", 0)),
        (encode.hostname("h"), 10, b"\1\0\0\0h\0"),
        (encode.loopback(), 11, b""),
        (encode.scope(), 14, b""),
        (encode.socket("/s"), 13, b"\2\0\0\0/s\0"),
        (encode.sysctl("a/b", "x", True), 12, b"\3\0\0\0a/b\0\1\0\0\0x\0" + struct.pack("<Q", 1)),
    ],
)
def test_records(record: orders.Record, opcode: int, payload: bytes) -> None:
    header = b"PODP" + struct.pack("<II", 1, 1)
    assert encode.plan([record]) == header + struct.pack("<II", opcode, len(payload)) + payload


def test_paths_are_bytes_of_the_file_system() -> None:
    name = os.fsdecode(b"/\xff\xc3\xa4")
    assert b"\4\0\0\0/\xff\xc3\xa4\0" in encode.plan([encode.proc(name)])


def test_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        encode.plan([encode.proc("/a\0b")])


def test_program_bytes() -> None:
    data = encode.program(
        argv=["a"], env=["K=V"], cwd=["/"], cwd_must=True, procname="p", rows=3, cols=4,
        umask=0o27, rlimits=[(7, 1, -1)], stdio=(5, None, -1), filter=b"12345678",
    )  # fmt: skip
    assert data == b"".join(
        (
            struct.pack("<QQQ", 0b100001, 3, 4),
            b"\1\0\0\0p\0",
            b"\1\0\0\0\1\0\0\0a\0",
            b"\1\0\0\0\3\0\0\0K=V\0",
            b"\1\0\0\0\1\0\0\0/\0",
            struct.pack("<QQQ", 1, 0o27, 1),
            struct.pack("<QQQ", 7, 1, 2**64 - 1),
            struct.pack("<QQ", 0, 1),
            b"\x08\0\0\0" + b"12345678",
        )
    )


def test_decode() -> None:
    failed = (
        struct.pack("<IIQ", orders.FAILED, 5, 2)
        + b"\4\0\0\0open\0"
        + b"\2\0\0\0/\xff\0"
        + struct.pack("<Q", 3)
    )
    message = orders.decode(failed, pid=9)
    assert message == orders.Message(orders.FAILED, 5, (), 9, 2, "open", os.fsdecode(b"/\xff"), 3)
    error = orders.failure(message)
    assert (error.cause, error.place) == ("No such file or directory", "open /\udcff")
    exited = orders.decode(struct.pack("<IIQQ", orders.EXITED, 1, 256, 1))
    assert os.waitstatus_to_exitcode(exited.status) == 1
    assert exited.others
    assert orders.decode(struct.pack("<II", orders.STARTED, 1), (7,), 8)[:4] == (
        orders.STARTED, 1, (7,), 8,
    )  # fmt: skip
    for killable in (False, True):
        listener = struct.pack("<IIQ", orders.LISTENER, 1, killable)
        assert orders.decode(listener, (7,), 8) == orders.Message(
            orders.LISTENER, 1, (7,), 8, killable=killable
        )
    # the launcher's: the pid that it made, not its own
    assert orders.decode(struct.pack("<IIQ", orders.ACK, 1, 77), pid=5).pid == 77


def test_orders_to_a_live_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int, bytes]] = []
    monkeypatch.setattr(orders.Init, "_send", lambda _, *order: sent.append(order))
    init = orders.Init.__new__(orders.Init)
    init.send_link(5, "/l", "x")
    init.send_setattr(6, "/m", 1, 8, recursive=True)
    assert sent == [
        (10, 5, b"\2\0\0\0/l\0\1\0\0\0x\0"),
        (11, 6, b"\2\0\0\0/m\0" + struct.pack("<QQQ", 1, 8, 1)),
    ]


def test_a_covered_proc_has_a_hint() -> None:
    message = orders.Message(orders.FAILED, 1, errno=1, step="fsmount", path="proc")
    assert "/proc" in orders.failure(message).hint


def test_light() -> None:
    """A monitor that waits as a standby has imported nothing heavy for this."""
    code = "import sys, podsh.jail.orders; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"asyncio", "dataclasses", "ctypes"} & set(done.stdout.split())
