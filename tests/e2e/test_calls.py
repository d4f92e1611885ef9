"""System-call lists by the command line: what is allowed runs, what is outside is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from podsh.kernel import syscalls
from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

# what sh and id need beside the start-up set
SHELL = """write ioctl rt_sigaction rt_sigprocmask getpid getppid geteuid getegid getuid getgid
    wait4 vfork clone dup2 fcntl stat lseek socket connect getgroups futex fadvise64 statfs
    execve prctl poll sysinfo getcwd""".split()
NOSYS = 38
NR = syscalls.NAMES[syscalls.native()]


def pod(podsh: Podsh, name: str, *lines: str) -> str:
    """A pod file of the caller's with the host's programs and ``lines``; its name."""
    base = [f"file rx {path}" for path in ("/usr", "/bin", "/lib", "/lib64", "/etc")]
    base += ["newnet none", "home_exec", "tmp_exec"]
    text = "\n".join([*base, *lines])
    podsh.file(podsh.directory("home/.pods") / f"{name}.pod", f"{text}\n")
    return f"{name}.pod"


def allow(*calls: str) -> list[str]:
    return [f"seccomp_allow {call}" for call in calls]


def python(call: str, *args: int) -> str:
    """A program that makes one system call and prints its errno."""
    return (
        "import ctypes; c=ctypes.CDLL(None,use_errno=True); ctypes.set_errno(0);"
        f"c.syscall({', '.join(str(n) for n in (NR[call], *args))}); print(ctypes.get_errno())"
    )


def test_a_listed_program_runs_and_an_unlisted_call_is_not_there(podsh: Podsh) -> None:
    name = pod(podsh, "listed", *allow(*SHELL, "rt_sigreturn"))
    done = podsh.run("jettison", "/bin/sh", name, "-c", "echo fine; id -u")
    assert (done.code, done.out) == (0, f"fine\n{podsh.caller.uid}\n")
    done = podsh.run("jettison", "/bin/sh", name, "--strict", "-c", "echo fine")
    assert done.out == "fine\n", done.err
    name = pod(podsh, "fewer", *allow(*(call for call in SHELL if call != "getcwd")))
    assert podsh.run("jettison", "/bin/sh", name, "-c", "echo fine").out == "fine\n"
    done = podsh.run("jettison", "/bin/sh", name, "--strict", "-c", "echo fine")
    assert (done.code, done.out) == (128 + 31, "")


def test_outside_of_the_list_is_enosys_and_strict_kills(podsh: Podsh) -> None:
    calls = """write ioctl rt_sigaction rt_sigprocmask getpid geteuid getegid getuid getgid lseek
        fcntl futex sysinfo getdents64 dup stat lstat getcwd poll readlink sigaltstack gettid
        mremap madvise pipe2 sched_getaffinity clone wait4 statx socket connect""".split()
    name = pod(podsh, "py", *allow(*calls))
    script = ["-I", "-S", "-c", python("getpgrp" if "getpgrp" in NR else "getpgid", 0)]
    done = podsh.run("jettison", "/usr/bin/python3", name, *script)
    assert (done.code, done.out) == (0, f"{NOSYS}\n"), done.err
    killed = podsh.run("jettison", "/usr/bin/python3", name, "--strict", *script)
    assert (killed.code, killed.out) == (128 + 31, "")


def test_blocked_calls_are_errno_even_under_strict(podsh: Podsh) -> None:
    name = pod(podsh, "blocked", "seccomp_block getppid")
    script = ["-I", "-S", "-c", python("getppid")]
    done = podsh.run("jettison", "/usr/bin/python3", name, "--strict", *script)
    assert (done.code, done.out) == (0, f"{NOSYS}\n")
    done = podsh.run("jettison", "/usr/bin/python3", name, "-I", "-S", "-c", python("getpid"))
    assert (done.code, done.out) == (0, "0\n")


def test_an_empty_list_is_everything_but_ptrace_and_the_refusals(podsh: Podsh) -> None:
    name = pod(podsh, "empty")
    for options, errno in (((), "1"), (("--allow-ptrace",), "0")):
        script = ["-I", "-S", "-c", python("ptrace", 0)]
        done = podsh.run("jettison", "/usr/bin/python3", name, *options, *script)
        assert (done.code, done.out) == (0, f"{errno}\n")
    mount = python("mount", 0, 0, 0, 0, 0)
    done = podsh.run("jettison", "/usr/bin/python3", name, "-I", "-S", "-c", mount)
    assert (done.code, done.out) == (0, "1\n")


def test_block_new_filters(podsh: Podsh) -> None:
    name = pod(podsh, "filters")
    script = ["-I", "-S", "-c", python("seccomp", 2, 0, 0)]  # GET_ACTION_AVAIL
    done = podsh.run("jettison", "/usr/bin/python3", name, *script)
    assert done.out == "14\n"
    done = podsh.run("jettison", "/usr/bin/python3", name, "--block-new-filters", *script)
    assert done.out == f"{NOSYS}\n"


def test_a_blacklist_stands_in_the_place_of_the_pods_rules(podsh: Podsh) -> None:
    name = pod(podsh, "black", *allow("write"), "seccomp_block getuid")
    listed = podsh.file(podsh.base / "blacklist", "# no groups\ngetppid\nseccomp_block umount\n")
    option = f"--blacklist={listed}"
    both = f"import os; print(os.getuid()); {python('getppid')}"
    done = podsh.run("jettison", "/usr/bin/python3", name, option, "-I", "-S", "-c", both)
    assert (done.code, done.out) == (0, f"{podsh.caller.uid}\n{NOSYS}\n"), done.err
    done = podsh.run(
        "jettison", "/usr/bin/python3", name, option, "--strict", "-I", "-S", "-c", both
    )
    assert done.code == 128 + 31
    missing = podsh.run("jettison", "/bin/true", name, f"--blacklist={listed}.no")
    assert missing.code == 2
    assert "the blacklist: No such file" in missing.err
    wrong = podsh.file(podsh.base / "wrong", "getppid\nexecve\n")
    refused = podsh.run("jettison", "/bin/true", name, f"--blacklist={wrong}")
    assert refused.code == 2
    assert "execve cannot be blocked" in refused.err


def test_names_of_i386_are_understood_with_a_note(podsh: Podsh) -> None:
    """The shape of jettison's own files: i386's names, and older libraries' calls."""
    old = """read write open close stat64 fstat64 lstat64 _llseek mmap2 mprotect munmap brk
        rt_sigaction rt_sigprocmask ioctl access pipe dup2 chdir getpid fork clone
        execve exit waitpid uname fcntl64 getcwd getuid32 getgid32 geteuid32 getegid32
        getppid getpgrp ugetrlimit set_thread_area exit_group set_tid_address socketcall
        _newselect time gettimeofday sigreturn rt_sigreturn""".split()
    name = pod(podsh, "i386", *(f"seccomp_allow {call}" for call in old[:-2]), "seccomp __NR_time")
    script = "x=$(echo one | cat); echo $x; cd /usr; pwd"
    done = podsh.run("jettison", "/bin/sh", name, "-c", script)
    assert (done.code, done.out) == (0, "one\n/usr\n"), done.err
    assert "stat64 is stat" in done.err
    assert "mmap2 is mmap" in done.err


# jettison's github.pod in kind: what git and its helpers did on i386, of libraries of that time
GITHUB = """
    read write open close stat64 lstat64 fstat64 mmap2 munmap mprotect brk access pipe dup dup2
    fcntl64 getcwd chdir mkdir rmdir rename unlink link symlink readlink chmod umask getdents64
    _llseek ioctl poll _newselect socketcall clone vfork execve waitpid wait4 exit_group exit
    rt_sigaction rt_sigprocmask sigreturn rt_sigreturn alarm setitimer getpid getppid getpgrp
    getuid32 geteuid32 getgid32 getegid32 getrlimit ugetrlimit uname time gettimeofday
    clock_gettime futex set_tid_address set_robust_list sched_yield utime ftruncate64
    statfs64 fsync sysinfo mremap madvise getgroups32 setpgid kill pread64 pwrite64
""".split()


def test_an_old_pod_file_runs_git(podsh: Podsh) -> None:
    name = pod(podsh, "github", *(f"seccomp_allow __NR_{call}" for call in GITHUB))
    commit = "git -c user.name=n -c user.email=e@x commit -qm one"
    script = f"git init -q r && cd r && echo x >f && git add f && {commit} && git log --format=%s"
    done = podsh.run("jettison", "/bin/bash", name, "--strict", "-c", f"cd /tmp && {script}")
    assert (done.code, done.out) == (0, "one\n"), podsh.run("events", "github").out


def test_names_that_are_no_calls(podsh: Podsh) -> None:
    done = podsh.run("jettison", "/bin/true", pod(podsh, "typo", "seccomp_allow raed"))
    assert done.code == 2
    assert 'typo.pod:9: "raed" is no system call; did you mean "read"?' in done.err
    elsewhere = podsh.run("jettison", "/bin/true", pod(podsh, "vm", "seccomp_block vm86"))
    assert elsewhere.code == 0
    assert "left out, no call of" in elsewhere.err


def test_toml_spellings(podsh: Podsh) -> None:
    podsh.profile(
        "few",
        'extends = "base"\n[seccomp]\nblock = ["getppid"]\nstrict = true\nptrace = true\n'
        "new_filters = false\n",
    )
    both = f"{python('getppid')}; {python('ptrace', 0)}"
    done = podsh.pod("/usr/bin/python3", "-I", "-S", "-c", both, options=("-p", "few"))
    assert (done.code, done.out.split()) == (0, [str(NOSYS), "0"]), done.err
    plan = podsh.run("run", "--dry-run", "-p", "few", "--", "true")
    assert "getppid ENOSYS" in plan.out
    podsh.profile("none", 'extends = "base"\n[seccomp]\nallow = ["write"]\nstrict = true\n')
    assert podsh.pod("/usr/bin/python3", options=("-p", "none")).code == 128 + 31
    assert podsh.pod("echo", "hello", options=("-p", "none")).out == "hello\n"
    wrong = podsh.profile("arm", 'extends = "base"\n[seccomp]\nabi = ["native", "arm"]\n')
    assert "abi has arm" in podsh.pod("true", options=("-p", "arm")).err
    wrong.unlink()  # one that is wrong is told of whenever all are read


HELLO = r"""
#include <unistd.h>
#ifndef SIZE
#define SIZE 6
#endif
int own(void);
int main(void) { return write(1, "hello\n", SIZE) == 6 ? 0 : 1; }
"""


@pytest.mark.parametrize("how", ["gcc", "gcc -static", "musl-gcc", "musl-gcc -static"])
def test_the_start_up_set_is_enough_to_begin(podsh: Podsh, how: str) -> None:
    """A program that only writes, and a list that only says so."""
    compiler, *options = how.split()
    needs_program(compiler)
    source = podsh.file(podsh.directory("home/src") / "hello.c", HELLO)
    built = podsh.directory("home/src") / "hello"
    if not options:
        # a library of its own, so that there is something to load
        library = built.with_name("libown.so")
        other = podsh.file(built.with_name("own.c"), "int own(void) { return 6; }\n")
        made = podsh.outside(compiler, "-shared", "-fPIC", "-o", str(library), str(other))
        assert made.code == 0, made.err
        options = [f"-L{built.parent}", "-lown", "-DSIZE=own()", "-Wl,-rpath,/podhome/src"]
    made = podsh.outside(compiler, "-o", str(built), str(source), *options)
    assert made.code == 0, made.err
    name = pod(podsh, "hello", "home rx /src", "seccomp_allow write")
    done = podsh.run("jettison", "/podhome/src/hello", name, "--strict")
    assert (done.code, done.out) == (0, "hello\n"), done.err
    name = pod(podsh, "mute", "home rx /src", "seccomp_allow getpid")
    assert podsh.run("jettison", "/podhome/src/hello", name, "--strict").code == 128 + 31


def test_listcalls(podsh: Podsh) -> None:
    done = podsh.run("jettison", "--listcalls")
    rows = dict(reversed(line.split()) for line in done.out.splitlines())
    assert rows == {name: str(number) for name, number in NR.items()}
    done = podsh.run("jettison", "--listcalls", "--json")
    entries = [json.loads(line) for line in done.out.splitlines()]
    assert {entry["call"]: entry["number"] for entry in entries} == NR


def test_jettisons_order_of_words(podsh: Podsh) -> None:
    """Program, pod, options, and the program's arguments from the first unknown one on."""
    name = pod(podsh, "words")
    printed = podsh.run("jettison", "/usr/bin/printf", name, "--strict", "%s,", "-p", "--strict")
    assert printed.out == "-p,--strict,"
    done = podsh.run("jettison", "/bin/ls", name, "-p", "elles", "-d", "--", "/usr")
    assert done.out == "/usr\n"
    done = podsh.run("jettison", "/bin/ls", name, "--version")
    assert "coreutils" in done.out
    script = "echo $0; ulimit -s; env | grep -c ^HOME="
    done = podsh.run(
        *("jettison", "/bin/sh", name, "-p", "me", "--stacksize", "2048", "--clear-environ"),
        *("-c", "env; ulimit -s"),
    )
    assert re.search(r"^2048$", done.out, re.MULTILINE), (done, script)
    assert "HOME=" not in done.out
    named = podsh.run(
        "jettison", "/bin/sh", name, "-p", "me", "-c", "tr '\\0' ' ' </proc/$$/cmdline"
    )
    assert named.out.startswith("me -c ")
    assert podsh.run("jettison", "/bin/sh").code == 2
    assert "missing POD" in podsh.run("jettison", "/bin/sh").err
    assert podsh.run("jettison", "/bin/sh", name, "--stacksize", "x").code == 2
