"""Scenes: programs with capabilities, which are over a user namespace of their own alone.

No filter: what is refused here is refused by who owns what, whatever a filter lets through.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from podsh.jail import encode
from podsh.kernel import caps
from tests.kernel.init.pod import NODEV, NOSUID, Pod

if TYPE_CHECKING:
    from typing import Any

ROOT_USER = os.getuid() == 0
with open("/proc/sys/kernel/cap_last_cap") as last_cap:
    EVERY = (1 << int(last_cap.read()) + 1) - 1
KINDS = ("user", "mnt", "pid", "ipc", "uts", "cgroup", "net")
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def capable(net: bool = True, nesting: bool = False) -> Pod:
    """A pod whose programs may keep capabilities; not launched."""
    pod = Pod()
    pod.records += [encode.inner(net), encode.hostname("inner")]
    if not nesting:
        pod.records.append(encode.sysctl("user/max_user_namespaces", "0", True))
    return pod


def of(pid: int) -> dict[str, str]:
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS}


def sets(pod: Pod, *before: str, **how: Any) -> dict[str, int]:
    """The capability sets of a program that has executed ``before``."""
    text = pod.said(*before, "cat", "/proc/self/status", **how)
    lines = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return {name: int(lines[name], 16) for name in SETS} | {"nnp": int(lines["NoNewPrivs"])}


def inner() -> None:
    """Network, IPC and names are the second user namespace's; mounts and pids are not."""
    with capable() as pod:
        pod.records.append(encode.loopback())
        pod.launch()
        outer = of(pod.pid)
        program = pod.run("sh", "-c", "echo on; read line", keep_caps=caps.mask("net_raw"))
        program.read_until(b"on")
        there = of(program.pid)
        assert {kind for kind in KINDS if there[kind] != outer[kind]} == {"user"}
        assert not set(there.values()) & set(of(os.getpid()).values())
        assert open(f"/proc/{program.pid}/uid_map").read() == open("/proc/self/uid_map").read()
        program.write(b"\n")
        program.exited()
        assert pod.said("hostname") == "inner\n"
        code = (
            "import socket; s = socket.create_server(('127.0.0.1', 80));"
            "socket.create_connection(s.getsockname()); print('up')"
        )
        assert pod.python(code, keep_caps=caps.mask("net_bind_service")) == "up\n"
        assert "Permission denied" in pod.python(code, status=1)
        code = "import socket; socket.sethostname('other'); print(socket.gethostname())"
        assert pod.python(code, keep_caps=caps.mask("sys_admin")) == "other\n"


def own_network_only() -> None:
    """With the host's network that one is not theirs."""
    with capable(net=False) as pod:
        pod.launch(net=False)
        assert of(pod.pid)["net"] == of(os.getpid())["net"]
        code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"
        assert "not permitted" in pod.python(code, keep_caps=caps.mask("net_raw"), status=1)
    with capable() as pod:
        pod.launch()
        pod.python(code, keep_caps=caps.mask("net_raw"))


def sets_ambient() -> None:
    """What is kept is in every set, also after an exec; nothing else, and nothing unasked."""
    keep = caps.mask("net_raw", "chown")
    with capable() as pod:
        pod.launch()
        kept = sets(pod, "env", keep_caps=keep)
        assert kept == dict.fromkeys(SETS, keep) | {"nnp": 1}
        assert sets(pod) == dict.fromkeys(SETS, 0) | {"nnp": 1}
    with Pod() as pod:
        pod.launch()
        refused = pod.refused("true", keep_caps=keep)
        assert (refused.errno, refused.step, refused.path) == (1, "setns", "user namespace")


def sets_by_files() -> None:
    """Without no_new_privs: root has them by its uid, others by files that have them."""
    keep = caps.mask("net_raw", "setuid", "setgid")
    with capable() as pod:
        pod.launch()
        how = {"keep_caps": keep, "no_new_privs": False}
        found = sets(pod, **how)
        expected = dict.fromkeys(SETS, keep) if ROOT_USER else {"CapInh": keep, "CapBnd": keep}
        assert found == dict.fromkeys(SETS, 0) | expected | {"CapAmb": 0, "nnp": 0}, found
        if ROOT_USER:
            become = ("setpriv", "--reuid=1", "--regid=1", "--clear-groups")
            assert sets(pod, *become, **how)["CapEff"] == 0
    if not ROOT_USER:
        return
    with tempfile.TemporaryDirectory() as host:
        os.chmod(host, 0o755)
        os.system(f"cp /usr/bin/cat {host}/capable; cp /usr/bin/cat {host}/setuid")
        os.chmod(f"{host}/setuid", 0o4755)
        # struct vfs_cap_data: VFS_CAP_REVISION_2, effective; CAP_NET_RAW permitted
        value = (0x02000001).to_bytes(4, "little") + (1 << 13).to_bytes(4, "little") + bytes(12)
        os.setxattr(f"{host}/capable", "security.capability", value)
        read = ("/proc/self/status",)
        for attrs, expected in ((NODEV, 1 << 13), (NODEV | NOSUID, 0)):
            with capable() as pod:
                pod.bind(host, "/srv", attrs=attrs)
                pod.launch()
                text = pod.said(*become, "/srv/capable", *read, **how)
                assert f"CapEff:\t{expected:016x}" in text, text
                text = pod.said(*become, "/srv/setuid", *read, **how)
                # all of root's, bounded by what the pod keeps
                assert f"CapEff:\t{keep if expected else 0:016x}" in text, text


ATTEMPTS = """
import ctypes, errno, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
REMOUNT, BIND, DETACH = 32, 4096, 2
KEPT = 2 | 4  # nosuid, nodev: only read-only goes
attributes = (ctypes.c_uint64 * 4)(0, 1, 0, 0)
def opened(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags))
        return 0
    except OSError as exc:
        ctypes.set_errno(exc.errno)
        return -1
def joined(name):
    try:
        fd = os.open(f"/proc/1/ns/{name}", os.O_RDONLY)
    except OSError as exc:
        ctypes.set_errno(exc.errno)
        return -1
    return libc.setns(fd, 0)
def copied():
    # with CAP_SYS_ADMIN one has a copy of the mounts, each locked as it is
    assert libc.unshare(0x20000) == 0
attempts = {
    "remount": lambda: libc.mount(None, b"/usr", None, REMOUNT | BIND | KEPT, None),
    "setattr": lambda: libc.syscall(442, -100, b"/usr", 0, attributes, 32),
    "remount_root": lambda: libc.mount(None, b"/", None, REMOUNT | BIND, None),
    "unmask": lambda: libc.umount2(b"/srv/secret", DETACH),
    "unmask_proc": lambda: libc.umount2(b"/proc/sys", DETACH),
    "umount": lambda: libc.umount2(b"/usr", DETACH),
    "bind": lambda: libc.mount(b"/usr", b"/tmp", None, BIND, None),
    "tmpfs": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
    "proc": lambda: libc.mount(b"none", b"/tmp", b"proc", 0, None),
    "join_mnt": lambda: joined("mnt"),
    "join_user": lambda: joined("user"),
    "user": lambda: libc.unshare(0x10000000),
    "remount_copy": lambda: copied() or attempts["remount"](),
    "unmask_copy": lambda: copied() or attempts["unmask"](),
    "ptrace": lambda: libc.ptrace(0x4206, 1, 0, 0),
    "memory": lambda: opened("/proc/1/mem"),
    "environ": lambda: opened("/proc/1/environ"),
    "root": lambda: opened("/proc/1/root"),
    "descriptor": lambda: opened("/proc/1/fd/3"),
    "getfd": lambda: libc.syscall(438, libc.syscall(434, 1, 0), 3, 0),
    "core_pattern": lambda: opened("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "sysrq": lambda: opened("/proc/sysrq-trigger", os.O_WRONLY),
    "device": lambda: libc.mknod(b"/tmp/device", 0o20666, 0x103),
}
for name in sys.argv[1:] or attempts:
    ctypes.set_errno(0)
    child = os.fork()
    if not child:
        done = attempts[name]()
        print(name, "worked" if done >= 0 else errno.errorcode[ctypes.get_errno()], flush=True)
        os._exit(0)
    os.waitpid(child, 0)
os.kill(1, signal.SIGKILL)
print("killed init", flush=True)
"""
# over what init has mounted
OWN_MOUNTS = """
assert libc.unshare(0x10020000) == 0
for path in (b"/usr", b"/srv/secret"):
    assert libc.mount(b"none", path, b"tmpfs", 1, None) == 0
"""


def every_capability() -> None:
    """All that there are, those that no profile can keep among them: nothing of the pod's is
    theirs to change, and init is out of reach. (Over mounts of their own they could: nested.)"""
    with tempfile.TemporaryDirectory() as host:
        os.mkdir(f"{host}/secret")
        with open(f"{host}/secret/key", "w") as file:
            file.write("secret\n")
        with capable() as pod:
            pod.bind(host, "/srv")
            pod.records.append(encode.mask("/srv/secret", True))
            pod.launch()
            output = pod.python(ATTEMPTS, keep_caps=EVERY)
            *lines, last = output.splitlines()
            found = dict(line.split() for line in lines)
            assert last == "killed init"
            assert len(found) == 23, output
            assert found.pop("user") == "ENOSPC"
            assert found.pop("unmask_copy") == "EINVAL"
            assert found.pop("sysrq") in ("EROFS", "EACCES", "ENOENT")
            assert set(found.values()) <= {"EPERM", "EACCES", "EROFS"}, found
            assert pod.said("ls", "-A", "/srv/secret", keep_caps=EVERY) == ""
            assert pod.said("hostname") == "inner\n"
        # the same attempts on mounts of one's own, in namespaces of one's own
        with capable(nesting=True) as pod:
            pod.records.append(encode.directory("/srv/secret", 0o755))
            pod.launch()
            own = ATTEMPTS.replace("attributes =", f"{OWN_MOUNTS}\nattributes =", 1)
            names = ("remount", "setattr", "unmask", "umount", "bind", "tmpfs")
            output = pod.python(own, *names, keep_caps=EVERY)
            assert output.split()[1:-2:2] == ["worked"] * 6, output


SCENES = [inner, own_network_only, sets_ambient, sets_by_files, every_capability]
