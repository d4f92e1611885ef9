"""Held calls that lack nothing are answered before Python hears of them; others are not."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.callers import Caller

# a child whose stat, open and access are held, told by words which path to look at; what comes
# through to Python is printed
SCRIPT = """
import ctypes, json, os, select, shutil, socket, struct, subprocess, sys, threading
from podsh.kernel import notify
from podsh.kernel.answers import Answers, Desk
from podsh.kernel.syscalls import AUDIT_ARCH, native, number
from podsh.monitor.listen import _RULES
libc = ctypes.CDLL(None, use_errno=True)
CALLS = {"read": number("faccessat"), "run": number("execve")}
top = os.path.realpath(sys.argv[1])
pod, host = f"{top}/pod", f"{top}/host"
os.makedirs(pod + host)
os.makedirs(host)
for path in (f"{host}/beyond", f"{host}/placed", f"{host}/believed", pod + host + "/here"):
    open(path, "w").close()
os.close(os.open(pod + host + "/placed", os.O_CREAT, 0))
os.symlink(f"{host}/beyond", pod + host + "/dangling")
os.symlink("here", pod + host + "/link")
os.mkdir(pod + host + "/aside")
shutil.copy("/bin/true", pod + host + "/program")
with open(pod + host + "/script", "w") as script:
    script.write("#!/bin/sh")
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
said, say = os.pipe()
if os.fork() == 0:
    ours.close()
    code = [(0x20, 0, 0, 0)]
    for held in CALLS.values():
        code += [(0x15, 0, 1, held), (0x06, 0, 0, 0x7FC00000)]
    code = b"".join(struct.pack("HBBI", *step) for step in [*code, (0x06, 0, 0, 0x7FFF0000)])
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    libc.prctl(38, 1, 0, 0, 0)
    listener = libc.syscall(number("seccomp"), 1, 8, ctypes.c_char_p(program))
    socket.send_fds(theirs, [b"x"], [listener])
    os.close(listener)
    while word := theirs.recv(8192):
        kind, _, path = word.partition(b" ")
        if kind == b"read":
            libc.syscall(CALLS["read"], -100, path, 4)
        elif kind == b"write":
            libc.syscall(CALLS["read"], -100, path, 2)
        else:
            libc.syscall(CALLS["run"], path, None, None)
        os.write(say, b"done\\n")
    os._exit(0)
os.close(say)
theirs.close()
_, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
root = os.open(pod, os.O_PATH)
answers = Answers(AUDIT_ARCH[native()], root, _RULES)
answers.own(os.stat(pod).st_dev)
came = []
believe = False

def serve():
    desk = Desk(answers)
    while True:
        try:
            ident, *_ = desk.receive(listener)
        except OSError:
            return desk.close()
        came.append(ident)
        if believe:
            desk.believe()
        notify.proceed(listener, ident)

thread = threading.Thread(target=serve, daemon=True)
thread.start()
lines = os.fdopen(said)
found = {}

def asked(kind, path):
    came.clear()
    ours.send(f"{kind} {path}".encode())
    assert lines.readline() == "done\\n"
    return len(came)

for kind in ("read", "write", "run"):
    for name in ("here", "link", "beyond", "placed", "dangling", "nowhere", "no/where"):
        found[f"{kind} {name}"] = asked(kind, f"{host}/{name}")
found["relative"] = asked("read", "here")
found["dots"] = asked("read", f"{host}/aside/../nowhere")
found["procfs"] = asked("read", "/proc/self/nowhere")
found["long"] = asked("read", f"{host}/" + "x/" * 2100)
found["run script"] = asked("run", f"{host}/script")
found["run program"] = asked("run", f"{host}/program")
loader = subprocess.run(["readelf", "-lW", "/bin/true"], capture_output=True, text=True).stdout
loader = loader.partition("interpreter: ")[2].partition("]")[0]
os.makedirs(pod + os.path.dirname(loader))
open(pod + loader, "w").close()
found["run complete"] = asked("run", f"{host}/program")
believe = True
first = asked("read", f"{host}/beyond"), asked("run", f"{host}/here")
believe = False
found["believed"] = [*first, asked("read", f"{host}/beyond"), asked("run", f"{host}/here")]
os.utime(f"{pod}{host}/here")
found["another version"] = asked("run", f"{host}/here")
answers.forget()
found["forgotten"] = asked("read", f"{host}/beyond")
found["count"] = answers.count
pipe = answers.misses()

def missed(kind, path):
    # by the pipe: with the very object
    came.clear()
    ours.send(f"{kind} {path}".encode())
    if pipe not in select.select([pipe, lines], [], [])[0]:
        assert lines.readline() == "done\\n"
        return "python" if came else "nobody"
    miss = answers.miss()
    assert os.path.samestat(os.fstat(miss.fd), os.stat(path)), miss
    assert (miss.path, miss.device) == (path, os.stat(path).st_dev)
    assert (miss.listener, miss.is_dir) == (listener, os.path.isdir(path))
    assert notify.valid(listener, miss.id)
    assert lines not in select.select([lines], [], [], 0)[0]
    os.close(miss.fd)
    notify.proceed(listener, miss.id)
    assert lines.readline() == "done\\n"
    return "pipe"

os.mkdir(f"{host}/.folder")
os.mkfifo(f"{host}/fifo")
os.symlink("beyond", f"{host}/leads")
names = "beyond placed .folder here nowhere dangling leads fifo"
names += " ./beyond .folder/ .folder/.. /beyond"
found["missed"] = {name: missed("read", f"{host}/{name}") for name in names.split()}
found["not missed"] = missed("write", f"{host}/beyond"), missed("run", f"{host}/beyond")
ours.close()
print(json.dumps(found))
"""


def test_only_what_may_lack_something_is_asked_about(
    caller: Caller, command: Path, ground: Path
) -> None:
    top = ground / f"answers-{caller.name}"
    top.mkdir()
    caller.own(top)
    done = subprocess.run(
        [str(command.parent / "python"), "-I", "-c", SCRIPT, str(top)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        **caller.popen(),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    calls = found.pop("count")
    assert calls == 21 + 4 + 3 + 4 + 2
    assert found == {
        # there, and nowhere: the kernel says so by itself
        **{f"read {name}": 0 for name in ("here", "link", "nowhere", "no/where")},
        # on the host only, a place to mount on, a link that leads out of what is there
        **{f"read {name}": 1 for name in ("beyond", "placed", "dangling")},
        # whether it may be changed is not seen by a look
        **{
            f"write {name}": 1
            for name in ("here", "link", "beyond", "placed", "dangling", "nowhere", "no/where")
        },
        # no program, or one whose interpreter is not there
        **{f"run {name}": 1 for name in ("here", "link", "beyond", "placed", "dangling")},
        **{f"run {name}": 0 for name in ("nowhere", "no/where")},
        "run script": 1,
        "run program": 1,
        "run complete": 0,
        "relative": 1,
        "dots": 1,
        "procfs": 1,
        "long": 1,
        "believed": [1, 1, 0, 0],
        "another version": 1,
        "forgotten": 1,
        "missed": {
            # the host's object of that very name
            **dict.fromkeys(("beyond", "placed", ".folder"), "pipe"),
            **dict.fromkeys(("here", "nowhere"), "nobody"),
            # a link on the way, no plain file, a name that has to be made plain first
            **dict.fromkeys(
                ("dangling", "leads", "fifo", "./beyond", ".folder/", ".folder/..", "/beyond"),
                "python",
            ),
        },
        "not missed": ["python", "python"],
    }
