"""Scenes: what a plan builds, how it fails, and what is attached later."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import struct
import tempfile
import traceback
from typing import TYPE_CHECKING

from podsh.jail import encode, orders
from podsh.kernel import mounts
from tests.kernel.init.pod import (
    NODEV,
    NOEXEC,
    NOSUID,
    RDONLY,
    TEMPLATE_FD,
    Pod,
    children_of,
    clone,
    eventually,
    open_fds,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT_USER = os.getuid() == 0


def fails(change: Callable[[Pod], None], step: str, path: str, index: int | None = None) -> str:
    """Launch a pod after ``change``; the text of its failure, which names step and path."""
    with Pod() as pod:
        before = len(os.listdir("/proc/self/fd")) - len(pod.mounts)
        change(pod)
        error = pod.launch_fails()
        assert error.place == f"{step} {path}", error
        # the control socket is closed too
        assert len(os.listdir("/proc/self/fd")) == before - 1
        return error.cause


def template() -> None:
    """T is small: what staging, masks and a fresh proc need, read-only."""
    pid = os.fork()
    if pid == 0:
        try:
            assert ctypes.CDLL(None).setns(TEMPLATE_FD, 0) == 0
            assert sorted(os.listdir("/")) == ["d", "f", "proc", "s"]
            assert [m.point for m in mounts.listing() if not m.point.startswith("/proc")] == ["/"]
            for name in ("d", "f"):
                assert stat.S_IMODE(os.lstat(f"/{name}").st_mode) == 0
            assert os.statvfs("/s").f_flag & os.ST_RDONLY
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def view() -> None:
    """Nothing but what the plan names; `/` sealed; mounts with their flags; old root gone."""
    with Pod() as pod:
        pod.records.append(encode.directory("/srv/deep/er", 0o700))
        pod.launch()
        names = {"bin", "dev", "lib", "lib64", "proc", "sbin", "srv", "tmp", "usr"}
        assert set(pod.said("ls", "/").split()) <= names
        assert pod.said("hostname") == "scene\n"
        assert pod.said("stat", "-c", "%a", "/", "/srv/deep/er") == "755\n700\n"
        assert "Read-only" in pod.said("touch", "/x", status=1)
        assert "Read-only" in pod.said("touch", "/usr/x", status=1)
        pod.said("touch", "/tmp/x")
        seen = {m.point: m for m in mounts.listing(pod.pid)}
        assert "/" in seen
        assert {"ro", "nosuid", "nodev"} <= seen["/"].options
        assert {"ro", "nosuid", "nodev"} <= seen["/usr"].options
        assert {"rw", "nosuid", "nodev"} <= seen["/tmp"].options
        assert {"nosuid", "noexec"} <= seen["/dev/pts"].options
        assert not [m for m in seen.values() if m.tags], "propagation from or to the host"
        assert not [p for p in seen if p.startswith(("/s", "/sys"))], sorted(seen)


def ids() -> None:
    """An ordinary user is itself alone; root has its whole range."""
    with open("/proc/self/uid_map") as file:
        ours = file.read().split()
    with Pod() as pod:
        pod.launch()
        assert pod.said("cat", "/proc/self/uid_map").split() == ours
        uid = os.getuid()
        assert ours == ([str(uid), str(uid), "1"] if not ROOT_USER else ours)
        assert pod.said("id", "-u") == f"{uid}\n"
        assert pod.said("stat", "-c", "%u", "/tmp", "/dev/pts/0") == f"{uid}\n{uid}\n"


def files_and_links() -> None:
    """FILE in the skeleton and over a bind, LINK repeated, below a bind, and in the way."""
    with tempfile.TemporaryDirectory() as host:
        for name in ("etc", "etc/sub"):
            os.mkdir(f"{host}/{name}")
        with open(f"{host}/etc/machine-id", "w") as file:
            file.write("host\n")
        with Pod() as pod:
            pod.bind(f"{host}/etc", "/etc")
            pod.records += [
                encode.file("/etc/machine-id", 0o444, b"pod\n"),
                encode.file("/etc/absent", 0o444, b"pod\n"),
                encode.file("/etc/absent-too/file", 0o444, b"pod\n"),
                encode.file("/opt/own", 0o640, b"own\n"),
                encode.link("/tmp", "/opt/link"),
                encode.link("/tmp", "/opt/link"),
                encode.link("elsewhere", "/etc/sub"),
            ]
            pod.launch()
            assert pod.said("cat", "/etc/machine-id", "/opt/own") == "pod\nown\n"
            assert pod.said("ls", "/etc") == "machine-id  sub\n"
            assert pod.said("stat", "-c", "%a", "/opt/own", "/etc/machine-id") == "640\n444\n"
            assert "Read-only" in pod.said("rm", "-f", "/opt/own", status=1)
            assert pod.said("readlink", "/opt/link") == "/tmp\n"
            assert set(pod.said("ls", "-A", "/").split()) & {".podsh.new", "s"} == set()
        with open(f"{host}/etc/machine-id") as file:
            assert file.read() == "host\n"


def masks() -> None:
    """MASK hides a file, a directory, and skips what is not there; nobody can open it."""
    with tempfile.TemporaryDirectory() as host:
        os.mkdir(f"{host}/secret")
        for name in ("secret/key", "token"):
            with open(f"{host}/{name}", "w") as file:
                file.write("secret\n")
        with Pod() as pod:
            pod.bind(host, "/srv", attrs=NOSUID | NODEV)
            pod.records += [
                encode.mask("/srv/secret", True),
                encode.mask("/srv/token", False),
                encode.mask("/srv/absent", False),
                encode.mask("/srv/token/below", True),
            ]
            pod.launch()
            assert "denied" in pod.said("cat", "/srv/token", status=1)
            assert "denied" in pod.said("ls", "/srv/secret", status=2)
            assert "denied" in pod.said("cat", "/srv/secret/key", status=1)
            for command in (["rm", "-f", "/srv/token"], ["mv", "/srv/secret", "/srv/s"]):
                assert "busy" in pod.said(*command, status=1)
            pod.said("touch", "/srv/other")
        assert sorted(os.listdir(host)) == ["other", "secret", "token"]


def procfs() -> None:
    """/proc is the pod's own; the machine's parts are read-only or unreadable for root too."""
    with Pod() as pod:
        pod.launch()
        assert {"1"} < {name for name in pod.said("ls", "/proc").split() if name.isdigit()}
        for path in ("/proc/sys/kernel/core_pattern", "/proc/irq/default_smp_affinity"):
            if os.path.exists(path):
                output = pod.said("sh", "-c", f"echo 1 >{path}", status=2)
                assert "Read-only" in output or "denied" in output, output
        seen = {m.point: m for m in mounts.listing(pod.pid)}
        for name in ("sys", "bus", "fs", "irq", "sysrq-trigger"):
            if os.path.exists(f"/proc/{name}"):
                assert "ro" in seen[f"/proc/{name}"].options
        for name in ("kcore", "keys", "timer_list", "kmsg", "kpagecount", "slabinfo"):
            if os.path.exists(f"/proc/{name}"):
                assert "denied" in pod.said("cat", f"/proc/{name}", status=1)
        if os.path.isdir("/proc/acpi"):
            assert "denied" in pod.said("ls", "/proc/acpi", status=2)


def namespaces() -> None:
    """All are new; no network but what was asked; sysctls of the pod's own."""
    kinds = ("user", "mnt", "pid", "ipc", "uts", "cgroup", "net")

    def of(pid: int) -> dict[str, str]:
        return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}

    with Pod() as pod:
        pod.records += [
            encode.loopback(),
            encode.sysctl("user/max_user_namespaces", "0", True),
            encode.sysctl("kernel/no_such_thing", "0", False),
        ]
        pod.launch()
        assert not set(of(pod.pid).values()) & set(of(os.getpid()).values())
        assert pod.python("import socket; print(len(socket.if_nameindex()))") == "1\n"
        up = "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        assert pod.python(f"{up}socket.create_connection(s.getsockname()); print('up')") == "up\n"
        assert pod.said("cat", "/proc/sys/user/max_user_namespaces") == "0\n"
        assert "failed" in pod.said("unshare", "-U", "true", status=1)
    for standby in (True, False):
        with Pod(standby=standby) as pod:
            pod.launch(net=False)
            same = set(of(pod.pid).values()) & set(of(os.getpid()).values())
            assert same == {of(os.getpid())["net"]}
    with Pod() as pod:
        pod.launch()
        code = "import socket; socket.create_connection(('127.0.0.1', 1))"
        assert "unreachable" in pod.python(code, status=1)


def failures() -> None:
    """Every step that fails says which, where and why, and leaves nothing."""

    def adds(*records: orders.Record) -> Callable[[Pod], None]:
        return lambda pod: pod.records.extend(records)

    absent = "No such file or directory"
    loops = "Too many levels of symbolic links"
    link = encode.link("/tmp", "/way")
    assert fails(adds(link, encode.directory("/way/x", 0o755)), "mkdir", "/way/x") == loops
    assert fails(adds(link, encode.file("/way/x", 0o644, b"")), "open", "/way/x") == loops
    assert fails(adds(link, encode.link("x", "/way/x")), "symlink", "/way/x") == loops
    assert fails(adds(link, encode.mask("/way", True)), "open", "/way") == loops
    assert fails(adds(link, encode.link("/usr", "/way")), "symlink", "/way") == "File exists"
    assert fails(adds(link, encode.proc("/way")), "open", "/way") == loops
    assert fails(adds(encode.directory("/dev/null/x", 0o755)), "mkdir", "/dev/null/x")
    assert fails(adds(encode.directory("/usr/no/such", 0o755)), "mkdir", "/usr/no/such") == absent
    assert fails(adds(encode.link("x", "/usr/no-such")), "symlink", "/usr/no-such") == absent
    assert fails(adds(encode.mount(999, "/x", False, False)), "mount", "/x")
    assert fails(adds(encode.mount(0, "/x", False, False)), "mount", "/x"), "attached before"
    assert (
        fails(adds(encode.sysctl("kernel/no", "0", True)), "open", "/proc/sys/kernel/no") == absent
    )
    assert fails(lambda p: p.bind("/usr", "/usr/no/dir"), "open", "/usr/no/dir") == absent
    assert fails(lambda p: p.bind("/usr", "/tmp/x", is_file=True), "move_mount", "/tmp/x")
    assert fails(adds(encode.devpts("/t", 2**40)), "fsconfig", "/t")
    with Pod() as pod:
        pod.bind("/usr", "/usr/no/dir", optional=True)
        pod.launch()


def malformed() -> None:
    """What cannot come from our own encoder ends init, with nothing left of the pod."""
    for plan in (b"", b"PODP", b"PODX" + bytes(8), encode.plan([encode.proc("/proc")])):
        for standby in (True, False):
            with Pod(standby=standby) as pod:
                assert pod.launch_fails(plan).place == "podsh-init"
    eventually(lambda: children_of(os.getpid()) == [], "all reaped")


def many_mounts() -> None:
    """More mounts than fit into one message, below a low limit of descriptors."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(7)[1]))
    with tempfile.TemporaryDirectory() as host, Pod() as pod:
        for number in range(450):
            pod.bind(host, f"/many/{number // 50}/{number}")
        pod.launch()
        assert len(mounts.listing(pod.pid)) > 450
        eventually(lambda: open_fds(pod.pid) < 16, "descriptors are closed")


def live() -> None:
    """ATTACH and DETACH while programs run; missing mount points are made in the skeleton only."""
    with tempfile.TemporaryDirectory() as host, Pod() as pod:
        for name in ("one", "two"):
            os.mkdir(f"{host}/{name}")
            with open(f"{host}/{name}/file", "w") as file:
                file.write(name)
        pod.bind(f"{host}/two", "/data", attrs=NOSUID | NODEV)
        pod.records.append(encode.link("/data", "/way"))
        pod.launch()

        def attach(path: str, source: str, is_file: bool = False) -> int:
            ident = pod.next_id()
            tree = clone(source)
            pod.init.send_attach(ident, path, is_file, tree)
            os.close(tree)
            return ident

        def attached(path: str, source: str, is_file: bool = False) -> None:
            pod.expect(orders.ACK, attach(path, source, is_file))

        attached("/new/place/here", f"{host}/one")
        assert pod.said("cat", "/new/place/here/file") == "one"
        assert "Read-only" in pod.said("touch", "/new/place/here/x", status=1)
        assert "Read-only" in pod.said("touch", "/new/x", status=1), "the skeleton is sealed"
        attached("/new/file", f"{host}/one/file", True)
        assert pod.said("cat", "/new/file") == "one"
        attached("/tmp/grant/deep", f"{host}/one")
        assert pod.said("cat", "/tmp/grant/deep/file") == "one"
        attached("/data", f"{host}/one")
        assert pod.said("cat", "/data/file") == "one"
        for path, error in (("/data/none/x", 2), ("/way/x", 40), ("/new/file/x", 20)):
            failed = pod.expect_failure(attach(path, f"{host}/one"))
            assert (failed.errno, failed.step, failed.path) == (error, "open", path)
        for path in ("/data", "/new/file"):
            pod.init.send_detach(ident := pod.next_id(), path)
            pod.expect(orders.ACK, ident)
        assert pod.said("cat", "/data/file") == "two"
        assert "No such file" in pod.said("cat", "/new/file", status=1)
        pod.init.send_detach(ident := pod.next_id(), "/new/place")
        failed = pod.expect_failure(ident)
        assert (failed.step, failed.path, failed.errno) == ("umount2", "/new/place", 22)
        pod.init.send_hostname(ident := pod.next_id(), "other")
        pod.expect(orders.ACK, ident)
        assert pod.said("hostname") == "other\n"
        eventually(lambda: open_fds(pod.pid) < 16, "descriptors are closed")


def listener() -> None:
    """SOCKET: the monitor gets one that listens where the pod has a name for it."""
    with Pod() as pod:
        pod.records += [encode.directory("/own", 0o755), encode.socket("/own/sock")]
        pod.launch()
        fd = pod.init.take_listener()
        assert pod.init.take_listener() == -1
        assert not os.get_inheritable(fd)
        code = (
            "import socket\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
            "s.connect('/own/sock')\n"
            "s.send(b'hello')\n"
            "print(s.recv(99).decode())\n"
        )
        with socket.socket(fileno=fd) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            program = pod.run("/usr/bin/python3", "-I", "-S", "-c", code)
            peer, _ = server.accept()
            with peer:
                data, ancillary, _, _ = peer.recvmsg(99, 99)
                peer.send(b"answer")
            # by the message: also of one that was sent before it was accepted
            (level, kind, content) = ancillary[0]
            assert (level, kind) == (socket.SOL_SOCKET, 2)  # SCM_CREDENTIALS
            assert struct.unpack("3i", content) == (program.pid, os.getuid(), os.getgid())
            assert data == b"hello"
            assert program.output() == "answer\n"
            program.exited()
            assert pod.said("stat", "-c", "%F %a %u", "/own/sock") == f"socket 600 {os.getuid()}\n"
            assert "Read-only" in pod.said("rm", "-f", "/own/sock", status=1)
            assert "Read-only" in pod.said("chmod", "777", "/own/sock", status=1)
        assert "refused" in pod.python(code, status=1)
        eventually(lambda: open_fds(pod.pid) < 16, "descriptors are closed")
    with Pod() as pod:
        pod.records.append(encode.socket("/sock"))
        pod.launch()  # nobody takes it, nothing stays open
    name = "x" * 108
    assert fails(lambda p: p.records.append(encode.socket(f"/{name}")), "bind", f"/{name}")
    assert fails(lambda p: p.records.append(encode.socket("/usr/sock")), "bind", "/usr/sock")
    assert fails(lambda p: p.records.append(encode.socket("/tmp")), "bind", "/tmp")
    twice = [encode.socket("/one"), encode.socket("/two")]
    assert fails(lambda p: p.records.extend(twice), "bind", "/two")


def placeholders() -> None:
    """What is there only to mount on, or on the way, is not readable, nor a program's start; what
    a plan names is, also if it was on the way before."""
    with tempfile.TemporaryDirectory() as host, Pod() as pod:
        with open(f"{host}/file", "w") as file:
            file.write("text")
        os.mkdir(f"{host}/crossed", 0o111)
        pod.bind(host, "/a/b/c")
        pod.bind(f"{host}/file", "/f/file", is_file=True)
        pod.bind(host, "/tmp/p/q")
        pod.records += [encode.directory("/named/x", 0o755), encode.directory("/named", 0o750)]
        pod.launch()
        modes = pod.said("stat", "-c", "%a", "/a", "/a/b", "/f", "/named", "/named/x", "/tmp/p")
        assert modes.split() == ["111", "111", "111", "750", "755", "111"]
        assert "denied" in pod.said("ls", "/a/b", status=2)
        assert pod.said("cat", "/a/b/c/file", "/f/file") == "texttext"
        assert "a\n" in pod.said("ls", "-1", "/")
        for path in ("/a/b/c", "/f/file"):
            pod.init.send_detach(ident := pod.next_id(), path)
            pod.expect(orders.ACK, ident)
        assert "No such" in pod.said("stat", "-c", "%a", "/a/b/c", "/f/file", status=1)
        assert "No such file" in pod.said("cat", "/f/file", status=1)
        assert pod.said("pwd", cwd=["/a/b", "/tmp/p/q", "/"]) == "/tmp/p/q\n"
        assert pod.said("pwd", cwd=["/a/b"]) == "/\n"
        assert pod.said("pwd", cwd=["/tmp/p/q/crossed"]) == "/tmp/p/q/crossed\n"
        failed = pod.refused("pwd", cwd=["/a/b"], cwd_must=True)
        assert (failed.step, failed.path, failed.errno) == ("chdir", "/a/b", errno.ENOENT)


def late_links() -> None:
    """LINK in the sealed skeleton, no link on the way followed, nothing replaced."""
    with tempfile.TemporaryDirectory() as host, Pod() as pod:
        pod.bind(host, "/data", attrs=NOSUID | NODEV)
        pod.records += [encode.link("/data", "/way"), encode.file("/file", 0o644, b"")]
        pod.launch()
        pod.said("ln", "-s", "/", "/tmp/root")

        def link(path: str, target: str) -> int:
            pod.init.send_link(ident := pod.next_id(), path, target)
            return ident

        for _ in range(2):
            pod.expect(orders.ACK, link("/new/parent/l", "../../data"))
            pod.expect(orders.ACK, link("/top", "/data"))
        assert pod.said("readlink", "/new/parent/l", "/top") == "../../data\n/data\n"
        assert pod.said("stat", "-c", "%a", "/new/parent") == "111\n"
        for path, target, error in (
            ("/top", "/dat", errno.EEXIST),
            ("/top", "/data2", errno.EEXIST),
            ("/new", "/data", errno.EEXIST),
            ("/dev/null", "/data", errno.EEXIST),
            ("/way/l", "x", errno.ELOOP),
            ("/tmp/root/l", "x", errno.ELOOP),
            ("/data/l", "x", errno.EXDEV),
            ("/data/no/l", "x", errno.ENOENT),
            ("/usr/l", "x", errno.EXDEV),
            ("/dev/null/l", "x", errno.EXDEV),
            ("/file/l", "x", errno.ENOTDIR),
            ("/proc/l", "x", errno.EXDEV),
            ("/" + "n" * 256, "x", errno.ENAMETOOLONG),
        ):
            failed = pod.expect_failure(link(path, target))
            assert (failed.errno, failed.step, failed.path) == (error, "symlink", path), failed
        assert os.listdir(host) == []
        assert pod.said("ls", "/tmp") == "root\n"
        assert "Read-only" in pod.said("rm", "/top", status=1)
        eventually(lambda: open_fds(pod.pid) < 16, "descriptors are closed")


def late_attributes() -> None:
    """SETATTR on the mount whose root is named, with what is below it or without; nothing else."""
    with tempfile.TemporaryDirectory() as host, Pod() as pod:
        for name in ("upper", "upper/lower", "upper/plain"):
            os.mkdir(f"{host}/{name}")
        pod.bind(f"{host}/upper", "/upper")
        pod.bind(f"{host}/upper/lower", "/upper/lower")
        pod.records.append(encode.link("/upper", "/way"))
        pod.launch()
        for recursive in (False, True):
            pod.init.send_setattr(ident := pod.next_id(), "/upper", NOEXEC, RDONLY, recursive)
            pod.expect(orders.ACK, ident)
            seen = {m.point: m.options for m in mounts.listing(pod.pid)}
            assert {"rw", "noexec", "nosuid", "nodev"} <= seen["/upper"]
            assert ("rw" in seen["/upper/lower"]) == recursive
            pod.said("touch", "/upper/x")
            pod.said("touch", "/upper/lower/x", status=0 if recursive else 1)
        pod.init.send_setattr(ident := pod.next_id(), "/upper", RDONLY, 0)
        pod.expect(orders.ACK, ident)
        assert "Read-only" in pod.said("touch", "/upper/y", status=1)
        before = [(m.point, m.options) for m in mounts.listing(pod.pid)]
        for path, set_, error, step in (
            ("/upper/plain", 0, errno.EINVAL, "mount_setattr"),
            ("/upper/x", 0, errno.EINVAL, "mount_setattr"),
            ("/way", 0, errno.ELOOP, "open"),
            ("/none", 0, errno.ENOENT, "open"),
            ("/upper", 1 << 40, errno.EINVAL, "mount_setattr"),
        ):
            pod.init.send_setattr(ident := pod.next_id(), path, set_, RDONLY, True)
            failed = pod.expect_failure(ident)
            assert (failed.errno, failed.step, failed.path) == (error, step, path), failed
        assert [(m.point, m.options) for m in mounts.listing(pod.pid)] == before
        eventually(lambda: open_fds(pod.pid) < 16, "descriptors are closed")


SCENES = [
    template,
    view,
    ids,
    files_and_links,
    masks,
    procfs,
    namespaces,
    failures,
    malformed,
    many_mounts,
    live,
    listener,
    placeholders,
    late_links,
    late_attributes,
]
