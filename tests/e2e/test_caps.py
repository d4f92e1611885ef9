"""``[caps] keep`` and ``capability``: what they are kept for works, and nothing else changes."""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from podsh.kernel import caps
from tests.helpers import callers
from tests.helpers.asking import asks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.helpers.runner import Done, Podsh

    Keeps = Callable[..., tuple[str, ...]]

PYTHON = ("/usr/bin/python3", "-c")
EVERY = tuple(f"CAP_{name.upper()}" for name in caps.ALLOWED)
ONLY_ROOT = pytest.mark.parametrize(
    "caller", [name for name in callers.names() if name == "root"], indirect=True
)


@pytest.fixture
def keeps(podsh: Podsh) -> Iterator[Keeps]:
    """Options of a pod that keeps some capabilities."""
    made: list[Path] = []

    def make(*names: str, net: str = "loop", more: str = "") -> tuple[str, ...]:
        listed = ", ".join(f'"{name}"' for name in names)
        text = f'name = "keeps"\nextends = ["base"]\n[net]\nmode = "{net}"\n'
        text += f"[caps]\nkeep = [{listed}]\n"
        made.append(podsh.profile("keeps", f"{text}[access]\ndomain = false\n{more}"))
        return ("-p", "keeps")

    yield make
    for path in made:
        path.unlink(missing_ok=True)


def python(podsh: Podsh, code: str, options: tuple[str, ...], *argv: str) -> Done:
    return podsh.pod(*PYTHON, code, *argv, options=options)


def said(podsh: Podsh, code: str, options: tuple[str, ...], *argv: str) -> str:
    done = python(podsh, code, options, *argv)
    assert done.code == 0, done.err
    return done.out


PORT_80 = """
import socket
server = socket.create_server(("127.0.0.1", 80))
with socket.create_connection(("127.0.0.1", 80)) as client:
    print(client.getpeername()[1])
"""
PING = """
import os, socket, struct
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return ~((total >> 16) + total) & 0xFFFF
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
    raw.settimeout(20)
    head = struct.pack("!BBHHH", 8, 0, 0, 4711, 1)
    request = struct.pack("!BBHHH", 8, 0, checksum(head), 4711, 1)
    raw.sendto(request, ("127.0.0.1", 0))
    while (answer := raw.recv(1500))[20] != 0 or answer[24:26] != request[4:6]:
        pass
print("pong")
"""
PACKETS = """
import socket
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as packets:
    packets.bind(("lo", 0))
    packets.settimeout(20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"seen-by-all", ("127.0.0.1", 9))
    while b"seen-by-all" not in packets.recv(2048):
        pass
print("seen")
"""
SETS = """
lines = dict(l.split(":\\t", 1) for l in open("/proc/self/status") if ":\\t" in l)
print(*(int(lines[f"Cap{s}"], 16) for s in ("Inh", "Prm", "Eff", "Bnd", "Amb")),
      lines["NoNewPrivs"].strip(), flush=True)
"""


def test_a_server_on_port_80(podsh: Podsh, keeps: Keeps) -> None:
    assert said(podsh, PORT_80, keeps("CAP_NET_BIND_SERVICE")) == "80\n"
    refused = python(podsh, PORT_80, keeps("CAP_NET_RAW"))
    assert "PermissionError" in refused.err


def test_raw_sockets_ping_and_see_the_loopback(podsh: Podsh, keeps: Keeps) -> None:
    options = keeps("CAP_NET_RAW")
    assert said(podsh, PING, options) == "pong\n"
    assert said(podsh, PACKETS, options) == "seen\n"
    options = keeps("CAP_NET_BIND_SERVICE")
    assert "not permitted" in python(podsh, PING, options).err
    assert "not supported" in python(podsh, PACKETS, options).err


def test_net_admin_rules_its_own_network_alone(podsh: Podsh, keeps: Keeps) -> None:
    code = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    request = struct.pack("16sh22x", b"lo", 1)  # IFF_UP
    fcntl.ioctl(s, 0x8914, request)  # SIOCSIFFLAGS
    request = struct.pack("16sHH4s16x", b"lo:1", 2, 0, socket.inet_aton("10.9.8.7"))
    fcntl.ioctl(s, 0x8916, request)  # SIOCSIFADDR
    s.bind(("10.9.8.7", 0))
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
except OSError as error:
    print(error.strerror)
"""
    assert said(podsh, code, keeps("CAP_NET_ADMIN", net="none")) == "Protocol not supported\n"
    assert "not permitted" in python(podsh, code, keeps("CAP_NET_RAW", net="none")).err


def test_what_is_kept_and_nothing_else_in_every_program(podsh: Podsh, keeps: Keeps) -> None:
    options = keeps("CAP_NET_RAW", "CAP_KILL")
    mask = caps.mask("net_raw", "kill")
    code = f"{SETS}\nimport os; os.execv('/usr/bin/cat', ['cat', '/proc/self/status'])"
    first, *rest = said(podsh, code, options).splitlines()
    assert first == f"{mask} {mask} {mask} {mask} {mask} 1"
    assert f"CapEff:\t{mask:016x}" in rest
    with asks(podsh, *options):
        done = podsh.run("exec", "asks", "--", *PYTHON, SETS)
        assert done.out == f"{first}\n"
        (row,) = podsh.ps()
        assert row["caps"] == {"keep": ["CAP_NET_RAW", "CAP_KILL"], "by": "ambient"}
        shown = podsh.run("profile", "show", "keeps").out
        assert "caps.keep          CAP_NET_RAW CAP_KILL" in shown
    plan = podsh.run("run", "--dry-run", *options, "--", "true").out
    assert "caps     CAP_NET_RAW CAP_KILL, by: ambient; over net ipc uts" in plan
    assert "no capabilities" not in plan


def test_refused_ones_with_their_reasons(podsh: Podsh, keeps: Keeps) -> None:
    for name in ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SETFCAP", "CAP_MKNOD", "CAP_BPF"):
        done = podsh.pod("true", options=keeps(name))
        reason = caps.REFUSED[name[4:].lower()]
        assert done.code == 2
        assert f"keeps.toml:6: caps.keep {name} is refused: {reason}" in done.err
        checked = podsh.run("profile", "check", "keeps")
        assert checked.code == 1
        assert reason in checked.err
    for net, options in (("host", ()), ("loop", ("--net", "host"))):
        done = podsh.pod("true", options=(*keeps("CAP_NET_RAW", net=net), *options))
        assert done.code == 2
        assert "CAP_NET_RAW: the network is the host's" in done.err
    done = podsh.pod("true", options=keeps("CAP_CHOWN", net="host"))
    assert done.code == 0, done.err


def test_a_pod_file(podsh: Podsh) -> None:
    path = podsh.file(
        podsh.home / "ports.pod",
        "newnet loop\ncapability CAP_NET_BIND_SERVICE\nfile rx /usr\nfile rx /lib\nfile rx /lib64\n"
        "file rx /bin\nfile r /etc\n",
    )
    done = podsh.run("jettison", PYTHON[0], str(path), "-c", PORT_80)
    assert (done.code, done.out) == (0, "80\n"), done.err
    path.write_text(path.read_text().replace("NET_BIND_SERVICE", "SYS_RAWIO"))
    done = podsh.run("jettison", PYTHON[0], str(path), "-c", PORT_80)
    assert done.code == 2
    assert "ports.pod:2: CAP_SYS_RAWIO is refused: it reaches the host's ports" in done.err
    path.unlink()


@pytest.fixture
def data(podsh: Podsh) -> Iterator[Path]:
    """A directory of the caller's that no profile shows."""
    path = podsh.directory("kept", 0o711)
    podsh.file(path / "f", "content\n")
    yield path
    shutil.rmtree(path)


def test_a_live_pod_is_given_more_asks_and_loses_it(podsh: Podsh, keeps: Keeps, data: Path) -> None:
    """With every capability: grants appear, in place and over each other; requests are held."""
    with asks(podsh, *keeps(*EVERY), "--ro", str(podsh.directory("kept/inner"))) as pod:
        assert pod.answered(f"cat {data}/f", data / "f").out == "content\n"
        assert podsh.run("mount", "asks", str(data)).code == 0
        assert pod.unasked(f"cat {data}/f; ls {data}").out == "content\nf\ninner\n"
        writing = f"echo x >{data}/new"
        program = pod.sh(writing)
        pod.deny(pod.request())
        assert b"Read-only" in program.communicate(timeout=20)[1]
        assert podsh.run("mount", "asks", "-w", str(data)).code == 0
        assert pod.unasked(writing).code == 0
        assert podsh.run("revoke", "asks", str(data)).code == 0
        program = pod.sh(writing)
        pod.deny(pod.request())
        assert b"Read-only" in program.communicate(timeout=20)[1]
        assert podsh.run("revoke", "asks", str(data)).code == 0
        program = pod.sh(f"cat {data}/new; echo done")
        pod.deny(pod.request())
        assert program.communicate(timeout=20)[0] == b"done\n"
        program = pod.sh(f"kage shim --access {data}/new && cat {data}/new")
        pod.allow(pod.request())
        assert program.communicate(timeout=20)[0] == b"x\n"
        assert podsh.run("exec", "asks", "--", "kage", "info").out == "keeps\n"


def test_files_of_ones_own_whatever_their_modes(podsh: Podsh, keeps: Keeps, data: Path) -> None:
    """CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH; what is hidden stays so."""
    (data / "f").chmod(0)
    podsh.file(data / "denied", "hidden\n")
    script = f"cat {data}/f; ls {data}; cat {data}/denied; echo; id -u"
    deny = f'deny = ["{data}/denied"]\n'
    with_it = "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"
    for keep, content in (*((name, "content\n") for name in with_it), ("CAP_KILL", "")):
        options = (*keeps(keep, more=deny), "--ro", str(data))
        done = podsh.pod("sh", "-c", script, options=options)
        assert done.out == f"{content}denied\nf\n\n{podsh.caller.uid}\n", done.err
    assert "Permission denied" in done.err


def test_shared_memory_and_the_bounding_set(podsh: Podsh, keeps: Keeps) -> None:
    """CAP_IPC_OWNER; CAP_SETPCAP drops another (PR_CAPBSET_DROP)."""
    code = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_long
segment = libc.shmget(0, 4096, 0o1000)  # IPC_PRIVATE, IPC_CREAT, of mode 000
for attempt in (lambda: libc.shmat(segment, None, 0), lambda: libc.prctl(24, 5, 0, 0, 0)):
    print("done" if attempt() != -1 else errno.errorcode[ctypes.get_errno()])
"""
    assert said(podsh, code, keeps("CAP_IPC_OWNER", "CAP_SETPCAP")) == "done\ndone\n"
    assert said(podsh, code, keeps("CAP_KILL")) == "EACCES\nEPERM\n"


def test_chroot_is_into_the_pods_own(podsh: Podsh, keeps: Keeps) -> None:
    code = """
import os, sys
os.chroot("/usr")
print(os.path.isdir("/lib"), os.path.isdir("/usr/lib"), os.access(sys.argv[1], os.F_OK))
"""
    options = keeps("CAP_SYS_CHROOT")
    assert said(podsh, code, options, str(podsh.home)) == "True False False\n"
    assert "not permitted" in python(podsh, code, keeps("CAP_KILL"), str(podsh.home)).err


BECOME = """
import os, sys
import signal; signal.alarm(40)
os.setgroups([])
os.setresgid(12345, 12345, 12345)
os.setresuid(12345, 12345, 12345)
"""


@ONLY_ROOT
def test_roots_programs_become_somebody_else(podsh: Podsh, keeps: Keeps, data: Path) -> None:
    """Files are theirs then; so are connections, though the monitor makes these."""
    options = keeps("CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_FOWNER", "CAP_KILL")
    options = (*options, "--rw", str(data))
    code = f"""
import os, signal, socket, struct, sys
path = sys.argv[1]
os.chown(f"{{path}}/f", 12345, 12345)
os.chmod(f"{{path}}/f", 0o600)
os.mkdir("/tmp/closed", 0o700)
places = {{"/tmp/open.sock": 0o777, "/tmp/shut.sock": 0o700, "/tmp/closed/sock": 0o777}}
servers = []
for place, mode in places.items():
    servers.append(socket.socket(socket.AF_UNIX))
    servers[-1].bind(place)
    os.chmod(place, mode)
    servers[-1].listen()
tcp = socket.create_server(("127.0.0.1", 0))
reader, writer = os.pipe()
child = os.fork()
if not child:
{"".join(f"    {line}" + chr(10) for line in BECOME.strip().splitlines())}
    print(os.getresuid(), open(f"{{path}}/f").read().strip())
    for place in places:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(place)
                print(place, "connected")
            except OSError as error:
                print(place, error.strerror)
    socket.create_connection(tcp.getsockname()).close()
    print("tcp", flush=True)
    os.write(writer, b"x")
    signal.pause()
accepted, _ = servers[0].accept()
peer = struct.unpack("3i", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
os.read(reader, 1)
print("peer", *peer[1:])
os.kill(child, signal.SIGTERM)
print("ended by", os.waitpid(child, 0)[1])
"""
    assert said(podsh, code, options, str(data)).splitlines() == [
        "(12345, 12345, 12345) content",
        "/tmp/open.sock connected",
        "/tmp/shut.sock Permission denied",
        "/tmp/closed/sock Permission denied",
        "tcp",
        "peer 12345 12345",
        "ended by 15",
    ]
    assert os.stat(data / "f").st_uid == 12345
    refused = python(podsh, f"import sys\n{BECOME}", keeps("CAP_KILL"))
    assert "PermissionError" in refused.err


@ONLY_ROOT
def test_sockets_of_the_host_for_somebody_else(podsh: Podsh, keeps: Keeps, data: Path) -> None:
    """One that is granted still has a mode, which is that of who asks."""
    code = f"""{BECOME}
import socket
for place in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(place)
            print("connected")
        except OSError as error:
            print(error.strerror)
"""
    options = keeps("CAP_SETUID", "CAP_SETGID")
    with socket.socket(socket.AF_UNIX) as all_may, socket.socket(socket.AF_UNIX) as nobody:
        places = []
        for server, mode in ((all_may, 0o777), (nobody, 0o700)):
            places.append(f"{data}/{mode:o}")
            server.bind(places[-1])
            os.chmod(places[-1], mode)
            server.listen()
        with asks(podsh, *options) as pod:
            program = pod.start(*PYTHON, code, *places)
            for place in places:
                row = pod.request()
                assert (row["op"], row["path"]) == ("connect", place)
                assert pod.allow(row).code == 0
            assert program.communicate(timeout=20)[0] == b"connected\nPermission denied\n"


@ONLY_ROOT
def test_roots_pod_with_files_that_have_capabilities(podsh: Podsh, keeps: Keeps) -> None:
    """On a bind with ``suid``: for programs that became somebody else; no more than is kept."""
    tools = podsh.directory("tools", 0o755)
    podsh.base.chmod(0o711)
    program = tools / "cat"
    shutil.copy("/usr/bin/cat", program)
    code = f"{BECOME}\nos.execv(sys.argv[1], ['cat', '/proc/self/status'])"
    bind = f'[[fs.bind]]\npath = "{tools}"\nsuid = '
    keep = ("CAP_NET_RAW", "CAP_SETUID", "CAP_SETGID")
    for has, suid, effective in (("1", "true", 1), ("1", "false", 0), ("2", "true", -1)):
        wanted = caps.mask(*("net_raw", "sys_admin")[: int(has)])
        # struct vfs_cap_data: VFS_CAP_REVISION_2, effective
        value = (0x02000001).to_bytes(4, "little") + wanted.to_bytes(4, "little") + bytes(12)
        os.setxattr(program, "security.capability", value)
        options = keeps(*keep, more=f"{bind}{suid}\n")
        done = python(podsh, code, options, str(program))
        if effective < 0:
            assert "Operation not permitted" in done.err
            continue
        assert f"CapEff:\t{effective * wanted:016x}" in done.out.splitlines()
        assert f"NoNewPrivs:\t{int(suid == 'false')}" in done.out.splitlines()
    plan = podsh.run("run", "--dry-run", *options, "--", "true").out
    assert "by: uid 0, and files on binds with s" in plan
    assert "no_new_privs" not in plan
    program.unlink()
