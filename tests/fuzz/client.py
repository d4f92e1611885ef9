"""Speaks nearly right words to the sockets of podsh: run as ``python -I client.py KIND SOCKET SEED
COUNT``, as the user whose sockets these are (kage: in a pod). Prints how many it said, and how many
answers it got."""

from __future__ import annotations

import json
import random
import socket
import struct
import sys

JSON_FRAME = 0
HEADER = struct.Struct("!IB")  # the body's length, the kind
# what would end the portal or the pod, rightly, is not said
PORTAL = (
    "ps pod rm wait mount revoke requests allow deny why graph profiles profile from_pod status "
    "events plan pod_file save_targets tree nothing"
).split()
# what each role may say; anything else ends the connection
MONITOR = {
    "attach": "attach send size eof signal detach".split(),
    "exec": "exec away back size eof signal".split(),
    "watch": ["watch", "size"],
    "logs": ["logs"],
    "files": ["root"],
    "portal": "snapshot listen present mount revoke requests allow deny why domain".split(),
    "nobody": ["snapshot"],
    "": ["attach"],
}
KEYS = (
    "id op name pod pods path write src dst request always scope if dir rows cols argv env cwd "
    "stdio signo group follow since what timeout_s profiles hello version role all last after"
).split()


def value(rng: random.Random, depth: int = 0) -> object:
    kind = rng.randrange(9 if depth < 3 else 7)
    if kind < 7:
        return (
            None,
            rng.random() < 0.5,
            rng.choice((0, 1, -1, 24, 1 << 70)),
            rng.choice((0.5, 1e308, -0.0)),
            rng.choice(("", "fuzz", "/", "/etc", "../x", "a" * 300, "\udcff", "\x1b[2J", "\0")),
            rng.choice(("exit", "request", "start", "once", "pod", "pty", "fd", "null")),
            rng.randrange(100),
        )[kind]
    if kind == 7:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(KEYS): value(rng, depth + 1) for _ in range(rng.randrange(5))}


PLAUSIBLE = {
    "id": (1, 2, 3),
    "name": ("fuzz0",),
    "pod": ("fuzz0",),
    "pods": (["fuzz0"], []),
    "path": ("/etc/passwd", "/usr", "/nowhere", "/a" * 3000),
    "src": ("/tmp", "/usr/bin", "/etc/hostname", "/a" * 3000),
    "dst": (None, "/tmp", "/mnt/x", "/mnt/../x", "/a" * 3000),
    "write": (True, False),
    "request": (0, 1, 7),
    "scope": ("once", "pod"),
    "rows": (24, 1, 65535, 0),
    "cols": (80, 1, 65535, -1),
    "argv": (["true"], ["/bin/nothing"], []),
    "env": ({}, {"A": "b"}),
    "cwd": ("/", "/tmp"),
    "stdio": (["null", "null", "null"], ["pty", "pty", "pty"], ["fd", "null", "pty"]),
    "signo": (0,),
    "group": (True, False),
    "follow": (True, False),
    "start": (0, 5, None),
    "keys": ("", "x", "\x1b[A"),
    "moved": ("", "x"),
    "timeout_s": (0, 0.01),
    "profiles": (["base"], []),
}


def message(rng: random.Random, op: str) -> dict[str, object]:
    found = {rng.choice(KEYS): value(rng) for _ in range(rng.randrange(6))}
    keys = tuple(PLAUSIBLE) if op == "exec" else rng.sample(tuple(PLAUSIBLE), 12)
    found |= {key: rng.choice(PLAUSIBLE[key]) for key in keys if rng.random() < 0.8}
    if op == "signal":
        found["signo"] = rng.choice(
            (28, 0, 100, -1, "x")
        )  # SIGWINCH: no other leaves the pod alive
    return found | {"op": op}


def frame(message: object) -> bytes:
    body = json.dumps(message).encode()
    return HEADER.pack(len(body), JSON_FRAME) + body


def frames(data: bytes) -> int:
    """How many there are in it, whole ones."""
    at = found = 0
    while len(data) >= at + HEADER.size:
        at += HEADER.size + HEADER.unpack_from(data, at)[0]
        found += at <= len(data)
    return found


def talk(rng: random.Random, kind: str, path: str) -> tuple[int, int]:
    """One connection; how much was said, and how much answered."""
    said = 0
    heard = bytearray()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)  # waits where many do
        sock.settimeout(60)
        role = "client" if kind == "portal" else rng.choice(tuple(MONITOR))
        words = PORTAL if kind == "portal" else MONITOR[role]
        try:
            if rng.random() < 0.9:
                hello = {"hello": 1 if rng.random() < 0.9 else value(rng), "role": role}
                sock.sendall(frame(hello | {"version": "0.1.0"}))
            for _ in range(rng.randrange(1, 60)):
                said += 1
                # programs take time to start: few are
                op = rng.choice(words if rng.random() < 0.02 else [w for w in words if w != "exec"])
                said_now = message(rng, op)
                if rng.random() < 0.02:
                    said_now["op"] = value(rng)
                data = frame(said_now)
                how = rng.random()
                if how < 0.01:
                    data = data[: rng.randrange(len(data))] + rng.randbytes(9)
                elif how < 0.02:
                    data = HEADER.pack(3, 1) + b"abc"
                if how > 0.97:
                    fds = [0] * rng.choice((1, 3, 9))
                    sock.sendmsg(
                        [data],
                        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))],
                    )
                else:
                    sock.sendall(data)
                if rng.random() < 0.3:
                    sock.setblocking(False)
                    try:
                        heard += sock.recv(1 << 16)
                    except BlockingIOError:
                        pass
                    sock.settimeout(60)
            if rng.random() < 0.9:  # else it is gone with what it was told unread
                sock.shutdown(socket.SHUT_WR)
                while data := sock.recv(1 << 16):
                    heard += data
        except (BrokenPipeError, ConnectionResetError):
            pass
    return said, frames(heard)


def ask(rng: random.Random, path: str) -> tuple[int, int]:
    """One request of kage's."""
    heard = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.connect(path)
            sock.settimeout(60)
            word = rng.choice((b"i--", b"a--/x\0", b"aw-/\0", b"l--/\0", b"mwp/a\0/b\0", b""))
            data = bytearray(word + rng.randbytes(rng.choice((0, 0, 1, 20))))
            if data and rng.random() < 0.5:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            sock.send(data)
            if data:
                heard = sock.recv(1 << 16)
        except OSError:
            pass
    return 1, bool(heard)


def main() -> None:
    kind, path, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    said = heard = 0
    while said < count:
        more = ask(rng, path) if kind == "kage" else talk(rng, kind, path)
        said += more[0]
        heard += more[1]
    print(said, heard)


if __name__ == "__main__":
    main()
