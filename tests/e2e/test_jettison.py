"""jettison's rows of features.md through its command line: the pod file, /podhome, small switches.

The other rows are tested where their parts are:

    row                                                     module
    seccomp_allow, seccomp_block, --strict, --blacklist,
      --block-new-filters, --allow-ptrace, --listcalls,
      names of i386, order of words, github.pod in kind     test_calls.py
    --tracecalls                                            test_trace.py
    any architecture: foreign ABIs                          test_calls.py, escape/test_abi.py
    capability                                              test_caps.py
    newnet none|loop                                        here, test_view.py
    newnet ipvlan|macvlan, --lognet, users files            test_networks.py; refused to a user here
    cmdr, gizmos                                            test_cmdr.py
    x11, mozilla.pod in kind                                test_x11.py, test_x11_nested.py
    --procname, --stacksize, --clear-environ, --init,
      --daemon, --logoutput                                 here by jettison; test_launching.py
    pod roots, jettison_destruct                            here by jettison; test_files.py
    test.pod in kind                                        here
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.runner import Podsh

SYSTEM = "file rx /usr\nfile rx /bin\nfile rx /lib\nfile rx /lib64\nnewnet none\n"
# what jettison's test.pod was: bash and its helpers, as i386 had their calls
TEST_POD = """\
# bash, and what it runs
newnet none
home_exec

file rx\t /lib
file rx\t /lib64
file rx\t /bin
file r\t /usr
file rx\t /usr/bin
file rx\t /usr/lib
file rwd /dev/null
file rd\t /dev/random

""" + "".join(
    f"seccomp_allow __NR_{call}\n"
    for call in """
    read write open close stat64 fstat64 lstat64 _llseek mmap2 mprotect munmap brk access ioctl
    rt_sigaction rt_sigprocmask sigreturn fcntl64 dup dup2 pipe getdents64 readlink getcwd chdir
    mkdir rmdir rename unlink chmod umask uname sysinfo getpid getppid getpgrp setpgid kill
    getuid32 getgid32 geteuid32 getegid32 getgroups32 getrlimit ugetrlimit time gettimeofday
    nanosleep select _newselect poll socketcall set_thread_area clone fork waitpid wait4 execve
    statfs64 fadvise64_64 chown32 futex exit_group
    """.split()
)


@pytest.fixture
def shared(podsh: Podsh) -> Iterator[Path]:
    """A directory of the caller's below /srv, which is none of the system's own."""
    path = podsh.directory("shared")
    yield path
    for left in sorted(path.rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() else left.unlink()


def write(podsh: Podsh, name: str, text: str, where: Path | None = None) -> str:
    return str(podsh.file((where or podsh.home) / f"{name}.pod", text))


def shell(podsh: Podsh, pod: str, text: str, *options: str) -> tuple[int, str, str]:
    done = podsh.run("jettison", "/bin/bash", pod, *options, "-c", text)
    return done.code, done.out, done.err


def test_grammar(podsh: Podsh) -> None:
    """Both dialects, comments, tabs, CRLF, blanks at the ends; errors say file and line."""
    old = "#comment\r\nfile rx /usr\r\nfile\trx\t/bin  \r\n\tfile rx /lib # why\nfile rx /lib64\n"
    for words in (("seccomp", "netns", "X11"), ("seccomp_allow", "newnet", "x11")):
        allow, net, _ = words
        pod = write(podsh, "dialect", f"{old}{net} loop\n{allow} __NR_write\n")
        done = podsh.run("jettison", "/bin/echo", pod, "heard")
        assert (done.code, done.out) == (0, "heard\n"), done.err
        assert podsh.run("rm", "dialect").code == 0
    files = SYSTEM.replace("newnet none\n", "")
    for line, said in (
        ("file rq /usr", 'unknown flag "q"'),
        ("fiel rx /usr", 'unknown keyword "fiel"; did you mean "file"?'),
        ("file rx usr", "does not begin with /"),
        ("file rx /", "is the whole file system"),
        ("file rx /usr", "is there twice (first at line 2)"),
        ("seccomp_allow nope", "is no system call"),
        ("capability CAP_NOPE", "is no capability"),
        ("newnet bridge", "is none of none, loop"),
    ):
        pod = write(podsh, "wrong", f"# first\n{files}\n{line}\n")
        done = podsh.run("jettison", "/bin/true", pod)
        assert done.code == 2, line
        assert f"{pod}:7: " in done.err, done.err
        assert said in done.err


def test_looked_up_as_given_then_in_the_users_pods_then_among_profiles(podsh: Podsh) -> None:
    here = podsh.directory("home/here")
    pods = podsh.directory("home/.pods")
    write(podsh, "lookup", f"# of the directory\n{SYSTEM}", here)
    write(podsh, "lookup", f"# of the user\n{SYSTEM}home_exec\n", pods)
    write(podsh, "only", SYSTEM, pods)
    for name, cwd, code in (
        ("lookup.pod", here, 0),
        ("lookup.pod", podsh.home, 0),
        ("only.pod", podsh.home, 0),
        ("only", podsh.home, 0),
        ("base", podsh.home, 0),
        ("nowhere.pod", podsh.home, 2),
    ):
        done = podsh.run("jettison", "/bin/true", name, cwd=cwd)
        assert done.code == code, (name, done.err)
        podsh.forget_pods()
    ran = "cp /bin/true ~/t && ~/t && echo exec"
    for cwd, out in ((here, ""), (podsh.home, "exec\n")):
        done = podsh.run("jettison", "/bin/sh", "lookup.pod", "-c", ran, cwd=cwd)
        assert done.out == out, done.err
        podsh.forget_pods()


def test_file_flags(podsh: Podsh, shared: Path) -> None:
    """r w x s d; parents before children whatever their order; system directories stay as they
    are though w is given."""
    for name in ("read", "write", "write/below", "exec"):
        podsh.directory(f"shared/{name}")
    for name in ("read", "write", "exec"):
        podsh.file(shared / name / "program", "#!/bin/sh\necho ran\n", 0o755)
    binds = f"file r {shared}/write/below\nfile rx {shared}/exec\nfile rw {shared}/write\n"
    pod = write(podsh, "flags", f"{SYSTEM}file rw /etc\n{binds}file r {shared}/read\n")
    text = f"""
        cd {shared}
        for each in read write exec; do {{ ./$each/program; }} 2>/dev/null || echo no $each; done
        for each in read write exec write/below; do
            (: >$each/new) 2>/dev/null && echo wrote $each
        done
        (: >/etc/new) 2>&1 | grep -o 'Read-only'
        cut -d' ' -f5,6 /proc/self/mountinfo | sed -n 's#^{shared}/#/#p'
    """
    _, out, err = shell(podsh, pod, text)
    lines = out.splitlines()
    assert lines[:5] == ["no read", "no write", "ran", "wrote write", "Read-only"], (out, err)
    flags = {where: set(options.split(",")) for where, options in map(str.split, lines[5:])}
    assert {"ro", "nosuid", "nodev", "noexec"} <= flags["/read"]
    assert {"rw", "nosuid", "nodev", "noexec"} <= flags["/write"]
    assert {"ro", "nosuid", "nodev"} <= flags["/exec"]
    assert "noexec" not in flags["/exec"]
    assert "ro" in flags["/write/below"]
    assert f"{pod}:6: /etc is bound read-only (a system directory)" in err
    twice = write(podsh, "twice", f"{SYSTEM}file r {shared}/read\nfile rx {shared}/read\n")
    assert podsh.run("jettison", "/bin/true", twice).code == 2


def test_home_and_podhome(podsh: Podsh) -> None:
    """Below $HOME, shown below /podhome; which is the pod's own, kept, writable, without x unless
    home_exec says so; files go in and out from outside."""
    data = podsh.directory("home/data")
    podsh.file(data / "seen", "seen\n")
    podsh.file(podsh.home / "unseen", "unseen\n")
    pod = write(podsh, "homely", f"{SYSTEM}home r /data\n")
    text = "cd; pwd; cat data/seen; ls; (: >data/new) 2>/dev/null || echo ro; echo own >note"
    assert shell(podsh, pod, text)[:2] == (0, "/podhome\nseen\ndata\nro\n")
    runs = "cat ~/note; cp /bin/true ~/t; ~/t 2>/dev/null || echo noexec; rm ~/t"
    assert shell(podsh, pod, runs)[1] == "own\nnoexec\n"
    assert podsh.run("cp", "homely:note", str(podsh.home / "fetched")).code == 0
    assert (podsh.home / "fetched").read_text() == "own\n"
    podsh.file(podsh.home / "given", "given\n")
    assert podsh.run("cp", str(podsh.home / "given"), "homely:/podhome/given").code == 0
    assert shell(podsh, pod, "cat ~/given")[1] == "given\n"
    write(podsh, "homely", f"{SYSTEM}home_exec\n")
    assert shell(podsh, pod, "cp /bin/true ~/t; ~/t && echo ran")[1] == "ran\n"
    whole = write(podsh, "whole", f"{SYSTEM}home rw /\n")
    text = "cat /podhome/unseen; echo new >/podhome/data/made; echo $HOME"
    assert shell(podsh, whole, text)[1] == "unseen\n/podhome\n"
    assert (data / "made").read_text() == "new\n"


def test_switches(podsh: Podsh) -> None:
    """tmp_exec, noproc, newpts, machine-id with and without a number."""
    ran = "cp /bin/true /tmp/t; /tmp/t 2>/dev/null && echo exec; ls /proc 2>/dev/null | head -1"
    plain = write(podsh, "plain", SYSTEM)
    code, out, _ = shell(podsh, plain, ran)
    assert out == "1\n"
    other = write(podsh, "other", f"{SYSTEM}tmp_exec\nnoproc\nnewpts\n")
    code, out, _ = shell(podsh, other, ran)
    assert out == "exec\n"
    with podsh.terminal("jettison", "/usr/bin/tty", other) as terminal:
        terminal.expect("/dev/pts/0")
        assert terminal.wait() == 0
    number = "0123456789abcdef" * 2
    fixed = write(podsh, "fixed", f"{SYSTEM}machine-id {number}\n")
    assert shell(podsh, fixed, "cat /etc/machine-id")[1].strip() == number
    fresh = write(podsh, "fresh", f"{SYSTEM}machine-id\n")
    seen = {shell(podsh, fresh, "cat /etc/machine-id")[1] for _ in range(2)}
    assert len(seen) == 2
    assert all(len(one.strip()) == 32 for one in seen)
    assert code == 0


@pytest.mark.parametrize(("mode", "up"), [("none", False), ("loop", True)])
def test_newnet(podsh: Podsh, mode: str, up: bool) -> None:
    pod = write(podsh, f"net-{mode}", SYSTEM.replace("newnet none", f"newnet {mode}"))
    text = "tail -n +3 /proc/net/dev | cut -d: -f1; (: >/dev/tcp/127.0.0.1/9) 2>&1 | tail -n 1"
    _, out, _ = shell(podsh, pod, text)
    name, said = out.strip().splitlines()
    assert name.strip() == "lo"
    assert ("refused" in said) == up


def test_launch_options(podsh: Podsh) -> None:
    """As jettison's users give them, before the program's own arguments."""
    pod = write(podsh, "options", f"{SYSTEM}home_exec\n")
    first = "printf '#!/bin/sh\\necho ready >/tmp/first\\n' >~/first; chmod +x ~/first"
    assert shell(podsh, pod, first)[0] == 0
    options = ("-p", "me", "--stacksize", "4096", "--clear-environ", "--init", "/podhome/first")
    text = "echo $0; ulimit -s; cat /tmp/first; env | grep -c TERM"
    code, out, err = shell(podsh, pod, f"echo {{}}; {text}", *options)
    assert out.splitlines()[1:] == ["me", "4096", "ready", "0"], (code, out, err)
    for options, said in ((("--init", "/bin/false"), "the init script failed with 1"),):
        code, out, err = shell(podsh, pod, "echo started", *options)
        assert (code, out) == (125, "")
        assert said in err
    daemon = podsh.run(
        *("jettison", "/bin/bash", pod, "--daemon", "--logoutput"),
        *("-c", "tty; echo out; echo err >&2; kill -9 $$"),
    )
    assert (daemon.code, daemon.out) == (0, "options\n"), daemon.err
    assert podsh.run("wait", "options", "exit").code == 137
    (log,) = podsh.home.glob("options-[0-9]*.log")
    assert log.read_text() == "not a tty\nout\nerr\n"
    log.unlink()


def test_a_state_directory_named_after_the_pod_file(podsh: Podsh) -> None:
    """Another file of that name does not get at it; removed, overwritten; not while it runs."""
    pod = write(podsh, "rooted", SYSTEM)
    assert shell(podsh, pod, "echo secret >~/f")[0] == 0
    state = podsh.state / "podsh/pods/rooted"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert (state / "podhome/f").read_text() == "secret\n"
    assert [row["name"] for row in podsh.ps()] == ["rooted"]
    elsewhere = write(podsh, "rooted", SYSTEM, podsh.directory("home/elsewhere"))
    refused = podsh.run("jettison", "/bin/true", elsewhere)
    assert refused.code == 2
    assert "the state of that name belongs to" in refused.err
    (state / "podhome/out").symlink_to(podsh.file(podsh.home / "outside", "kept"))
    with (state / "podhome/f").open("rb") as held:
        assert podsh.run("rm", "rooted", "--zero", "2").code == 0
        assert held.read() == b"\0" * 7
    assert not state.exists()
    assert (podsh.home / "outside").read_text() == "kept"
    assert podsh.run("jettison", "/bin/sleep", pod, "--daemon", "1000").code == 0
    running = podsh.run("rm", "rooted", "--nuke")
    assert running.code == 2
    assert "is running" in running.err
    assert podsh.run("kill", "rooted").code == 0


@pytest.mark.parametrize("caller", ["user"], indirect=True)
def test_what_takes_privilege_is_refused_to_a_user_with_the_reason(podsh: Podsh) -> None:
    for line in ("newnet macvlan lo **:**:**:**:**:** 10.9.8.7/24", "newnet ipvlan lo 10.9.8.7/24"):
        pod = write(podsh, "linked", SYSTEM.replace("newnet none", line))
        done = podsh.run("jettison", "/bin/echo", pod, "started")
        assert (done.code != 0, done.out) == (True, "")
        assert line.split()[1] in done.err
        podsh.forget_pods()
    pod = write(podsh, "mighty", f"{SYSTEM}capability CAP_SYS_MODULE\n")
    done = podsh.run("jettison", "/bin/echo", pod, "started")
    assert (done.code, done.out) == (2, "")
    assert "CAP_SYS_MODULE" in done.err


def test_test_pod_in_kind(podsh: Podsh) -> None:
    """bash under the list of calls that an i386 had; strict; what it runs, too."""
    pod = write(podsh, "test", TEST_POD)
    text = """
        x=$(echo one | tr o O); echo $x; mkdir -p /tmp/d; cd /tmp/d; echo two >f; mv f g; cat g
        for i in 1 2 3; do echo $i; done | wc -l; (exit 5); echo $?; sleep 0.01 & wait $!
        read line <<<"four"; echo $line; [[ -d /tmp/d ]] && echo dir; rm g; trap 'echo bye' EXIT
    """
    code, out, err = shell(podsh, pod, text, "--strict")
    assert (code, out.split()) == (0, ["One", "two", "3", "5", "four", "dir", "bye"]), err
    assert "stat64 is stat" in err
    with podsh.terminal("jettison", "/bin/bash", pod, "--strict", "--norc") as terminal:
        terminal.expect(r"[$#] ")
        terminal.send("echo $((6*7))\n")
        terminal.expect("42")
        terminal.send("exit 3\n")
        assert terminal.wait() == 3
