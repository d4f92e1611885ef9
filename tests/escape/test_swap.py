"""A name is swapped for a link to a secret, over and over, while requests for it are approved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.helpers.asking import POD, asks, end

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

ROUNDS = 3000
SECRET = "the secret itself"

# PLACE: where it swaps; NAMES: where it asks for the same names
ATTACK = """
import ctypes, json, mmap, os, signal, stat, sys
place, names, secret, rounds, *naive = sys.argv[1:]
libc = ctypes.CDLL(None)
now = memoryview(mmap.mmap(-1, 8)).cast('q')
swapper = os.fork()
while swapper == 0:
    i = now[0]
    libc.renameat2(-100, b'%s/a%d' % (place.encode(), i), -100, b'%s/b%d' % (place.encode(), i), 2)
opened = leaks = denied = 0
for i in range(int(rounds)):
    deep = i % 2
    a, b = f'{place}/a{i}', f'{place}/b{i}'
    if deep:
        os.mkdir(a); open(a + '/key', 'w').write('plain')
        os.symlink(os.path.dirname(secret), b)
    else:
        open(a, 'w').write('plain')
        os.symlink(secret, b)
    now[0] = i
    name = f'{names}/a{i}' + ('/key' if deep else '')
    try:
        if naive and not stat.S_ISREG(os.lstat(name).st_mode):
            continue
        if naive and deep and os.path.islink(os.path.dirname(name)):
            continue
        with open(name) as file:
            opened += 1
            leaks += 'secret' in file.read()
    except OSError:
        denied += 1
os.kill(swapper, signal.SIGKILL)
os.wait()
print(json.dumps([opened, leaks, denied]))
"""

# approves whatever lies where the attacker swaps, as fast as it can; until the pod's program ends
APPROVE = """
import sys
from podsh.errors import PodshError
from podsh.portal.client import connect
place, pod = sys.argv[1:]
follower, client, approved, failed = connect(), connect(), 0, 0
def answer(event):
    global approved, failed
    ident, seen = event["id"], f"{event['mode']} {event['path']}"
    if not event["path"].startswith(place + "/"):
        client.call("deny", request=ident, always=False)
        return
    try:
        client.call("allow", request=ident, scope="pod", **{"if": seen})
        approved += 1
    except PodshError:
        failed += 1  # it was swapped since
        try:
            client.call("deny", request=ident, always=False)
        except PodshError:
            pass
follower.call("events", pods=[pod])
print("ready", flush=True)
while True:
    for event in follower.news():
        if event["ev"] == "request":
            answer(event)
        elif event["ev"] == "exit":
            print(approved, failed)
            sys.exit()
"""


@pytest.mark.long
@pytest.mark.timeout(300)
def test_what_was_approved_is_what_is_mounted(podsh: Podsh) -> None:
    secret = podsh.file(podsh.directory("private") / "key", SECRET)
    place = podsh.directory("swapped")
    # that the race is one: who looks first and opens then, outside, is fooled
    attack = ("/usr/bin/python3", "-c", ATTACK, str(place))
    done = podsh.outside(*attack, str(place), str(secret), str(ROUNDS), "naive", timeout=120)
    assert json.loads(done.out)[1] > 0, done
    podsh.outside("sh", "-c", f"rm -rf {place}/*")
    python = podsh.command.parent / "python"
    with asks(podsh) as pod:
        assert podsh.run("mount", POD, "-w", str(place), "/swap").code == 0
        person = podsh.start(str(python), "-c", APPROVE, str(place), POD, raw=True)
        assert person.stdout is not None
        assert person.stdout.readline() == b"ready\n"
        program = pod.start(*attack[:3], "/swap", str(place), str(secret), str(ROUNDS))
        opened, leaks, denied = json.loads(end(program, 240).out)
    out, err = person.communicate(timeout=20)
    approved, _ = map(int, out.split())
    assert leaks == 0
    assert opened + denied == ROUNDS
    assert min(opened, approved) > ROUNDS // 10, (opened, approved, denied, err)
