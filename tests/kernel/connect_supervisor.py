"""Run as the caller: a program under the real filter, and a monitor of it that knows connect(2).

Arguments: how, as JSON; the code of the program. Descriptor 3: the filter. Prints JSON: what the
program printed, its exit status, what was asked, and who was connected to.

how: ``own``, a directory that counts as the pod's; ``host``, one with listening sockets of the
host's; ``network``: "own" or "host"; ``answer``: to what is asked, "refuse", "approve", "hold";
``unsafe``: connects that look right go on; ``bare``: no filter at all; ``swap``: two names in
``own`` that are exchanged.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import sys
import threading
import time

from podsh.kernel import notify, tasks
from podsh.kernel.memory import Reader
from podsh.kernel.syscalls import number
from podsh.monitor.connect import Connect, Connector

libc = ctypes.CDLL(None, use_errno=True)
how = json.loads(sys.argv[1])
OWN, HOST = how["own"], how["host"]
RENAME_EXCHANGE = 2

PRELUDE = """
import ctypes, errno, fcntl, os, select, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
OWN, HOST = %r, %r
def raw(fd, address, length=None):
    ctypes.set_errno(0)
    size = len(address) if length is None else length
    result = libc.connect(ctypes.c_int(fd), address, ctypes.c_uint(size))
    return 0 if result == 0 else errno.errorcode[ctypes.get_errno()]
def unix(path):
    return struct.pack("=H", 1) + os.fsencode(path) + b"\\0"
def tried(path, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as s:
        return raw(s.fileno(), unix(path))
import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
def say(*what):
    print(*what, flush=True)
"""


def listen(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, kind)
    server.bind(path)
    server.listen(4000)
    return server


def accepted(server: socket.socket) -> int:
    """How many connections wait: nobody has accepted any so far."""
    server.setblocking(False)
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def enter(namespaces: int) -> None:
    """New namespaces, a user namespace with the same user among them."""
    uid, gid = os.getuid(), os.getgid()
    assert libc.unshare(namespaces) == 0, ctypes.get_errno()
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def program(code: str, theirs: socket.socket, out: int) -> None:
    if how["network"] == "own":
        enter(0x10000000 | 0x40000000)
        with socket.socket() as up:
            fcntl.ioctl(up, 0x8914, struct.pack("16sH14x", b"lo", 1))
    os.dup2(out, 1)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    tasks.drop_effective()  # as in a pod
    if not how.get("bare"):
        load(theirs)
    theirs.close()
    exec(compile(PRELUDE % (OWN, HOST) + code, "program", "exec"), {})


def load(theirs: socket.socket) -> None:
    program = os.read(3, 1 << 16)
    os.close(3)
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    listener = libc.syscall(number("seccomp"), 1, 8 | 32, ctypes.c_char_p(fprog))
    assert listener >= 0, ctypes.get_errno()
    socket.send_fds(theirs, [b"x"], [listener])
    os.close(listener)


def unsafe(listener: int, note: notify.Notification) -> None:
    """How not to do it: what was looked at is right, so the call goes on."""
    address = Reader().bytes(note.pid, note.args[1], note.args[2] & 0xFF)
    if address[:2] == struct.pack("=H", 1):
        try:
            path = os.path.realpath(address[2:].split(b"\0")[0])
        except OSError:
            path = b""
        if os.path.dirname(path) in (b"", os.fsencode(HOST)):
            notify.refuse(listener, note.id, 111)
            return
    notify.proceed(listener, note.id)


def serve(listener: int, connector: Connector) -> None:
    events = select.poll()
    events.register(listener, select.POLLIN)
    connects = number("connect")
    while not events.poll()[0][1] & select.POLLHUP:
        try:
            note = notify.receive(listener)
        except FileNotFoundError:
            continue
        if note.nr != connects:
            notify.proceed(listener, note.id)
        elif how.get("unsafe"):
            unsafe(listener, note)
        else:
            connector.handle(listener, note)


def swap(one: str, two: str) -> None:
    libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG
    at = ctypes.c_int(-100)
    names = [os.fsencode(f"{OWN}/{name}") for name in (one, two)]
    while True:
        libc.renameat2(at, names[0], at, names[1], RENAME_EXCHANGE)


def main() -> None:
    asked: list[str] = []
    held: list[Connect] = []

    def decide(connect: Connect) -> None:
        asked.append(connect.path)
        if how["answer"] == "approve":
            connector.approve(connect)
        elif how["answer"] == "refuse":
            connector.refuse(connect)
        else:
            held.append(connect)

    enter(0x10000000)  # as a monitor lives
    reached = {"stream": listen(f"{HOST}/stream")}
    reached["packets"] = listen(f"{HOST}/packets", socket.SOCK_SEQPACKET)
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            program(sys.argv[2], theirs, writing)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    theirs.close()
    os.close(writing)
    _, listeners, _, _ = socket.recv_fds(ours, 1, 1)
    swapper = 0
    if "swap" in how:
        swapper = os.fork()
        if swapper == 0:
            swap(*how["swap"])
    own = OWN.rstrip("/") + "/"
    connector = Connector(os.open("/", os.O_PATH))
    connector.decide_by(
        lambda fd: os.readlink(f"/proc/self/fd/{fd}").startswith(own), decide, frozenset()
    )
    output: list[bytes] = []

    def read() -> None:
        while data := os.read(reading, 65536):
            output.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    sys.setswitchinterval(1e-5)
    for listener in listeners:
        serve(listener, connector)
    _, status = os.waitpid(pid, 0)
    reader.join()
    if swapper:
        os.kill(swapper, 9)
        os.waitpid(swapper, 0)
    # a worker whose caller has died ends by itself
    deadline = time.monotonic() + 2
    while connector._workers.busy and time.monotonic() < deadline:
        time.sleep(0.02)
    running = connector._workers.busy
    for connect in held:
        connector.refuse(connect)
    connector.close()
    left = connector._workers.alive
    print(
        json.dumps(
            {
                "out": b"".join(output).decode().splitlines(),
                "status": status,
                "asked": asked,
                "reached": {name: accepted(server) for name, server in reached.items()},
                "running": running,
                "left": left,
            }
        )
    )
    sys.stdout.flush()
    os._exit(0)


try:
    main()
except BaseException:
    import traceback

    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)  # whatever threads wait for
