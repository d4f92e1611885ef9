"""``cmdr`` scripts: an administrator's commands in a pod's network, before its program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers import wires as w

if TYPE_CHECKING:
    from tests.helpers.runner import Done
    from tests.helpers.wires import There, Wires

ADDED = "ip addr add 10.93.0.1/32 dev lo\n"
SHOWN = (w.PYTHON, "-c", "import socket; socket.socket().bind(('10.93.0.1', 0)); print('there')")
MAY = (
    "#!/bin/sh\necho $(grep CapEff /proc/self/status) sees /* with $(ls /proc/self/fd) >&2; exit 3"
)
POD = """\
file rx /usr
file rx /bin
file rx /sbin
file rx /lib
file rx /lib64
file r /etc/ld.so.cache
newnet {net}
cmdr first
"""


@pytest.fixture(autouse=True)
def gizmos(wires: Wires) -> None:
    """The administrator's gizmos: ip, and one that tells what it may."""
    wires.no_admin()
    wires.at_host("install", "-D", "/usr/bin/ip", f"{w.ADMIN}/gizmos/ip")
    wires.admin("gizmos/may", MAY, "0755")


def write(
    there: There, wires: Wires, script: str, users: str = "gizmo ip\n", net: str = "loop"
) -> str:
    """The script, the users file, and a pod file that asks for the script; its path."""
    wires.admin(f"users/{there.caller.login}", users)
    wires.admin(f"cmdrs/{there.caller.login}/first", script)
    return str(there.file(there.base / "c.pod", POD.format(net=net)))


def run(
    there: There, wires: Wires, script: str, users: str = "gizmo ip\n", net: str = "loop"
) -> Done:
    pod = write(there, wires, script, users, net)
    return there.run("run", "--rm", "-p", pod, "--", *SHOWN)


def test_a_script_comes_before_the_program(there: There, wires: Wires) -> None:
    assert run(there, wires, "# nothing\n").code == 1  # the program cannot bind there
    done = run(there, wires, f"# an address\n\n{ADDED}  ip link set lo mtu 1400  # and more\n")
    assert (done.code, done.out) == (0, "there\n"), done.err
    assert w.LAN in wires.at_host("ip", "addr")
    assert "10.93.0.1" not in wires.at_host("ip", "addr")
    plan = there.run("run", "--dry-run", "-p", str(there.base / "c.pod"), "--", "true").out
    assert f"cmdr     {ADDED.strip()}  [{w.ADMIN}/cmdrs/{there.caller.login}/first:3]" in plan


def test_a_toml_profile_names_one_too(there: There, wires: Wires) -> None:
    wires.admin(f"users/{there.caller.login}", "gizmo ip\n")
    wires.admin(f"cmdrs/{there.caller.login}/first", ADDED)
    there.profile("c", 'extends = "base"\n[net]\nmode = "loop"\n[run]\ncmdr = "first"\n')
    assert there.pod(*SHOWN, options=("-p", "c")).out == "there\n"


@pytest.mark.parametrize(
    ("script", "users", "net", "code", "words"),
    [
        (f"\n{ADDED}ip nonsense\n", "gizmo ip\n", "loop", 125, 'first:3: ip: Object "nonsense"'),
        ("may\n", "gizmo ip\n", "loop", 2, "first:1: may is not allowed to you; an administrator"),
        ("nft list\n", "gizmo nft\n", "loop", 2, "gizmos/nft: No such file or directory"),
        ("../ip\n", "gizmo ip\n", "loop", 2, "first:1: '../ip' is no plain name"),
        ('ip "open\n', "gizmo ip\n", "loop", 2, "first:1: No closing quotation"),
        (ADDED, "gizmo ip CAP_CHOWN\n", "loop", 2, ":1: a gizmo cannot have CAP_CHOWN"),
        (ADDED, "gizmo ip\n", "none\nnewnet x", 2, "newnet is there twice"),
    ],
)
def test_failure_stops_the_launch(
    there: There, wires: Wires, script: str, users: str, net: str, code: int, words: str
) -> None:
    done = run(there, wires, script, users, net)
    assert (done.code, done.out) == (code, ""), done.err
    assert words in done.err
    assert there.ps() == []


def test_without_the_script_and_without_a_network(there: There, wires: Wires) -> None:
    done = run(there, wires, ADDED)
    wires.at_host("rm", f"{w.ADMIN}/cmdrs/{there.caller.login}/first")
    pod = str(there.base / "c.pod")
    done = there.run("run", "--rm", "-p", pod, "--", "true")
    assert (done.code, "asks for cmdr 'first', and" in done.err) == (2, True)
    wires.admin(f"cmdrs/{there.caller.login}/first", ADDED)
    done = there.run("run", "--rm", "-p", pod, "--net", "host", "--", "true")
    assert done.code == 125
    assert "first:1: ip configures a network, and the pod has none of its own" in done.err


def test_only_root_writes_them(there: There, wires: Wires) -> None:
    login = there.caller.login
    for change in (
        f"chmod o+w {w.ADMIN}/gizmos/ip",
        f"chown 1 {w.ADMIN}/gizmos/ip",
        f"chmod 0777 {w.ADMIN}/gizmos",
        f"cd {w.ADMIN}/gizmos; mv ip real; ln -s real ip",
        f"cd {w.ADMIN}/cmdrs/{login}; mv first real; ln -s real first",
        f"chown {there.caller.uid or 1} {w.ADMIN}/cmdrs/{login}/first",
        f"chmod g+w {w.ADMIN}/users/{login}",
        f"chmod 0644 {w.ADMIN}/gizmos/ip",
    ):
        wires.no_admin()
        wires.at_host("install", "-D", "/usr/bin/ip", f"{w.ADMIN}/gizmos/ip")
        write(there, wires, ADDED)
        wires.at_host("sh", "-c", change)
        done = there.run("run", "--rm", "-p", str(there.base / "c.pod"), "--", *SHOWN)
        assert (done.code, done.out) == (2, ""), change
        assert w.ADMIN in done.err


def test_a_gizmo_has_what_it_needs_and_sees_little(there: There, wires: Wires) -> None:
    for users, caps in (("gizmo may\n", 0), ("gizmo may CAP_NET_RAW\n", 1 << 13)):
        done = run(there, wires, "may\n", users)
        assert done.code == 125
        words = done.err.partition("CapEff: ")[2].split()
        assert int(words[0], 16) == caps
        seen = set(words[words.index("sees") + 1 : words.index("with")])
        assert "/proc" in seen
        assert not seen & {"/home", "/root", "/var", "/sys", "/opt"}
