"""Speaks nearly right words to the sockets of podsh: run as ``python -I client.py KIND SOCKET SEED
COUNT``, as the user whose sockets these are (kage: in a pod). Prints how many it said."""

from __future__ import annotations

import json
import random
import socket
import struct
import sys

JSON_FRAME = 0
# what would end the portal or the pod, rightly, is not said
PORTAL = (
    "ps pod rm wait mount revoke requests allow deny why graph profiles profile from_pod status "
    "events plan pod_file save_targets tree nothing"
).split()
MONITOR = "attach size eof detach logs snapshot mount revoke requests allow deny why tree x".split()
ROLES = ("client", "attach", "exec", "watch", "logs", "portal", "nobody", "")
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


def frame(message: object) -> bytes:
    body = json.dumps(message).encode()
    return struct.pack("!IB", len(body), JSON_FRAME) + body


def talk(rng: random.Random, kind: str, path: str) -> int:
    """One connection; how much was said."""
    said = 0
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(path)
        role = "client" if kind == "portal" else rng.choice(ROLES)
        words = PORTAL if kind == "portal" else MONITOR
        try:
            if rng.random() < 0.9:
                hello = {"hello": 1 if rng.random() < 0.9 else value(rng), "role": role}
                sock.sendall(frame(hello | {"version": "0.1.0"}))
            for _ in range(rng.randrange(1, 60)):
                said += 1
                message = {rng.choice(KEYS): value(rng) for _ in range(rng.randrange(8))}
                if rng.random() < 0.9:
                    message |= {"op": rng.choice(words), "id": rng.randrange(9)}
                data = frame(message)
                how = rng.random()
                if how < 0.03:
                    data = data[: rng.randrange(len(data))] + rng.randbytes(9)
                elif how < 0.06:
                    data = struct.pack("!IB", 3, 1) + b"abc"
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
                        sock.recv(1 << 16)
                    except BlockingIOError:
                        pass
                    sock.settimeout(10)
        except (BrokenPipeError, ConnectionResetError):
            pass
    return said


def ask(rng: random.Random, path: str) -> int:
    """One request of kage's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(10)
        try:
            sock.connect(path)
            word = rng.choice((b"i--", b"a--/x\0", b"aw-/\0", b"l--/\0", b"mwp/a\0/b\0", b""))
            data = bytearray(word + rng.randbytes(rng.choice((0, 0, 1, 20))))
            if data and rng.random() < 0.5:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            sock.send(data)
            if data:
                sock.recv(1 << 16)
        except OSError:
            pass
    return 1


def main() -> None:
    kind, path, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    said = 0
    while said < count:
        said += ask(rng, path) if kind == "kage" else talk(rng, kind, path)
    print(said)


if __name__ == "__main__":
    main()
