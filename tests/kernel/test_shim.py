"""The preload shim: hits are not notified, misses are once, and no program notices it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import struct
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podsh.kernel import shim
from podsh.native import build
from tests.helpers import callers
from tests.helpers.needs import needs_program
from tests.kernel.supervisor import PYTHON, Call, Supervised

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.callers import Caller

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "podsh" / "native"
LIBCS = {
    "glibc": (),
    "musl": ("musl-gcc",),
    "static": ("-static",),
}

# operation, path below the folder: on what is there
HITS = """
    open file, open-write file, open-create file, open-create new1, open-path link, openat file,
    open-temporary ., creat new2, fopen file, fopen-write new3, fopen-append file,
    fopen-update file, fopen-new new4, opendir folder, opendir ., stat file, stat link,
    lstat link, fstatat link, access file, access-write file, faccessat folder,
    faccessat-flags file, readlink link,
    readlinkat link, realpath link, realpath folder/../file, realpath-own folder, chdir folder,
    mkdir new5, mkdirat new6, rmdir new6, symlink new7, symlinkat new8, unlink new7, unlinkat new8,
    rename new5, link file, linkat new1, renameat new2, truncate file, chmod file, fchmodat folder,
    chown file, lchown link, fchownat file, utimensat file, mknod new9, mkfifo new10, inotify file,
    statfs file
"""
GLIBC_HITS = """
    open-fortified file, openat-fortified file, readlink-fortified link, realpath-fortified link,
    statx file, euidaccess file
"""
# each of these is refused, and by an errno that is worth asking
MISSES = """
    open a, open-write b, openat d, fopen e, fopen-update g, opendir i, stat j, lstat k,
    fstatat l, access m, access-write n, faccessat o, faccessat-flags p, readlink q, readlinkat r,
    realpath s, realpath-own t, chdir u, mkdir no/v, mkdirat no/w, rmdir x, unlink y, unlinkat z,
    rename a1, renameat a2, link a3, linkat a4, symlink no/a5, symlinkat no/a6, truncate a7,
    chmod a8, fchmodat a9, chown b1, lchown b2, fchownat b3, utimensat b4, mknod no/b5,
    mkfifo no/b6, inotify b7, statfs b8, getxattr b9, lgetxattr c1, listxattr c2, setxattr c3,
    removexattr c4, open-create no/c, creat no/f, fopen-write no/h, fopen-append no/h2,
    open-temporary no/h3
"""
GLIBC_MISSES = """
    open-fortified d1, openat-fortified d2, readlink-fortified d3, realpath-fortified d4, statx d5,
    euidaccess d6
"""
OTHERS = "fopen-bad file, open file/x, mkdir file, rmdir folder, readlink file, opendir file"


def steps(text: str, folder: Path) -> list[str]:
    """Arguments of the probe."""
    arguments = []
    for step in text.replace("\n", " ").split(","):
        operation, path = step.split()
        arguments += [operation, str(folder / path)]
    return arguments


class Kit:
    """What was built, where every user can reach it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.page = place / "gen"
        self.shim = place / "podsh-shim.so"
        build.build_shim(str(NATIVE), str(self.shim), str(self.page))

    def probe(self, libc: str) -> Path:
        target = self.place / f"probe-{libc}"
        if not target.exists():
            program = needs_program("musl-gcc" if libc == "musl" else "gcc")
            flags = [flag for flag in LIBCS[libc] if flag.startswith("-")]
            flags += [f"-DCOOKIE={shim.COOKIE:#x}ul", "-D_GNU_SOURCE", "-O1", "-w"]
            source = str(HERE / "shim_probe.c")
            subprocess.run([program, *flags, "-o", target, source], check=True)
        return target

    def env(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.shim), "PATH": "/usr/bin:/bin"}

    def count(self, number: int | None, *whole: int) -> None:
        """What the page holds: its generation, mounts that show all; None: there is none."""
        if number is None:
            self.page.unlink(missing_ok=True)
            return
        with open(self.page, "r+b" if self.page.exists() else "wb") as file:
            file.write(struct.pack(f"={2 + len(whole)}Q", number, len(whole), *whole))
        self.page.chmod(0o644)


@pytest.fixture(scope="module")
def kit(ground: Path) -> Kit:
    place = ground / "shim"
    place.mkdir()
    place.chmod(0o755)
    return Kit(place)


@pytest.fixture(autouse=True)
def _no_page(kit: Kit) -> None:
    kit.count(None)


@pytest.fixture
def folder(caller: Caller, ground: Path) -> Path:
    """A directory of the caller's with something in it."""
    return fresh(caller, ground / f"shim-{uuid.uuid4().hex[:8]}")


def fresh(caller: Caller, path: Path) -> Path:
    """The same directory, anew."""
    shutil.rmtree(path, ignore_errors=True)
    (path / "folder").mkdir(parents=True)
    (path / "file").write_text("some text\n")
    (path / "file").chmod(0o755)
    (path / "link").symlink_to("file")
    for each in (path, path / "folder", path / "file"):
        caller.own(each)
    if caller.switch:
        os.lchown(path / "link", caller.uid, caller.gid)
    return path


def bare(caller: Caller, argv: list[str]) -> str:
    """Without filter and without shim."""
    done = subprocess.run(
        argv, capture_output=True, text=True, env={}, check=True, timeout=30, **caller.popen()
    )
    return done.stdout


def all_steps(libc: str, folder: Path) -> list[str]:
    parts = [HITS, MISSES, OTHERS]
    if libc != "musl":
        parts += [GLIBC_HITS, GLIBC_MISSES]
    # the directory of the program is changed by one of them, and all paths are absolute
    return [step for part in parts for step in steps(part, folder)]


@pytest.mark.parametrize("libc", LIBCS)
def test_nothing_is_different(caller: Caller, kit: Kit, folder: Path, libc: str) -> None:
    """Every operation gives what it gives without, errno included."""
    argv = [str(kit.probe(libc)), *all_steps(libc, folder)]
    plain = bare(caller, argv)
    for env in ({}, kit.env()):
        fresh(caller, folder)
        assert Supervised(caller, argv, env).finish() == plain
    fresh(caller, folder)
    done = subprocess.run(argv, capture_output=True, text=True, env=kit.env(), **caller.popen())
    assert (done.stdout, done.stderr) == (plain, "")


@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_hits_are_not_notified(caller: Caller, kit: Kit, folder: Path, libc: str) -> None:
    arguments = steps(HITS + ("" if libc == "musl" else f",{GLIBC_HITS}"), folder)
    run = Supervised(caller, [str(kit.probe(libc)), *arguments], kit.env())
    out = run.finish()
    assert not [line for line in out.splitlines() if ": -1 " in line]
    assert run.below(folder) == []
    # it is loaded, and the exec before it was seen
    assert "execve" in {call.name for call in run.seen}


def test_without_it_everything_is(caller: Caller, kit: Kit, folder: Path) -> None:
    for libc, env in (("glibc", {}), ("static", kit.env())):
        arguments = steps(HITS, fresh(caller, folder))
        run = Supervised(caller, [str(kit.probe(libc)), *arguments], env)
        run.finish()
        assert len(run.below(folder)) >= len(arguments) // 2


@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_misses_are_notified_once(caller: Caller, kit: Kit, folder: Path, libc: str) -> None:
    arguments = steps(MISSES + ("" if libc == "musl" else f",{GLIBC_MISSES}"), folder)
    run = Supervised(caller, [str(kit.probe(libc)), *arguments], kit.env())
    out = run.finish()
    assert not [line for line in out.splitlines() if ": 0 " in line]
    wanted = [str(Path(path).relative_to(folder)) for path in arguments[1::2]]
    # of a symlink, the first that is read is its place: the name of what it points to is no path
    assert [path for _, path in run.below(folder)] == wanted


GRANTS: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys(("open", "fopen", "stat", "access", "realpath", "truncate"), Path.touch),
    **dict.fromkeys(("opendir", "chdir", "in-directory"), Path.mkdir),
    "readlink": lambda path: path.symlink_to("file"),
}


@pytest.mark.parametrize("operation", GRANTS)
@pytest.mark.parametrize("libc", LIBCS)
def test_a_grant_serves_the_same_call(
    caller: Caller, kit: Kit, folder: Path, libc: str, operation: str
) -> None:
    target = folder / "granted"

    def grant(call: Call) -> int:
        if call.path == str(target) and not os.path.lexists(target):
            GRANTS[operation](target)
            if not target.is_symlink():
                caller.own(target)
        return 0

    argv = [str(kit.probe(libc)), operation, str(target)]
    kit.count(1)
    out = Supervised(caller, argv, kit.env(), answer=grant).finish()
    if operation == "in-directory":
        assert out.endswith(": -1 No such file or directory\n")
    else:
        assert f"{operation} {target}: 0 " in out


def asked_for(run: Supervised, folder: Path) -> list[str]:
    return [path for _, path in run.below(folder)]


@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_refusals_are_kept_until_the_generation_changes(
    caller: Caller, kit: Kit, folder: Path, libc: str
) -> None:
    kit.count(1)
    text = "stat x, stat x, open x, fopen x, access x, open-write x, truncate x, unlink x, stat y"
    arguments = [*steps(text, folder), "pause", "", *steps("stat x, stat x, stat y", folder)]
    run = Supervised(caller, [str(kit.probe(libc)), *arguments], kit.env())
    assert run.process.stdout is not None
    while run.process.stdout.readline() != "paused\n":
        pass
    # to read, to write and to remove are three
    assert asked_for(run, folder) == ["x", "x", "x", "y"]
    kit.count(2)
    run.finish("go\n")
    assert asked_for(run, folder) == ["x", "x", "x", "y", "x", "y"]


def test_refusals_are_kept_for_a_moment(caller: Caller, kit: Kit, folder: Path) -> None:
    """What is not on the host yet may come to be there, and nobody would tell."""
    kit.count(1)
    text = "stat x, stat x"
    arguments = [*steps(text, folder), "pause", "", *steps(text, folder)]
    run = Supervised(caller, [str(kit.probe("glibc")), *arguments], kit.env())
    assert run.process.stdout is not None
    while run.process.stdout.readline() != "paused\n":
        pass
    assert asked_for(run, folder) == ["x"]
    time.sleep(1.1)
    run.finish("go\n")
    assert asked_for(run, folder) == ["x", "x"]


def test_what_is_not_there_to_be_read_may_be_made(caller: Caller, kit: Kit, folder: Path) -> None:
    kit.count(1)
    text = "unlink no/x, open-write no/x, open no/x, open-create no/x, mkdir no/x, symlink no/x"
    run = Supervised(caller, [str(kit.probe("glibc")), *steps(text, folder)], kit.env())
    run.finish()
    assert [name for name, _ in run.below(folder)] == ["unlinkat", "openat", "openat", "openat"]


def test_relative_paths_are_forgotten_with_the_directory(
    caller: Caller, kit: Kit, folder: Path
) -> None:
    kit.count(1)
    arguments = ["stat", "x", "stat", "x", "chdir", str(folder), "stat", "x", "stat", "x"]
    # below a descriptor nothing is kept
    arguments += ["in-directory", ".", "in-directory", "."]
    run = Supervised(caller, [str(kit.probe("glibc")), *arguments], kit.env())
    run.finish()
    assert [call.path for call in run.seen if call.path == "x"] == ["x", "x"]
    assert [call.path for call in run.seen if call.path == "absent-in-it"] == ["absent-in-it"] * 2


@pytest.mark.parametrize("number", [None, 0])
def test_without_a_generation_nothing_is_kept(
    caller: Caller, kit: Kit, folder: Path, number: int | None
) -> None:
    kit.count(number)
    argv = [str(kit.probe("glibc")), *steps("stat x, stat x, open x", folder)]
    run = Supervised(caller, argv, kit.env())
    run.finish()
    assert asked_for(run, folder) == ["x"] * 3


def mount_of(path: Path) -> int:
    fd = os.open(path, os.O_PATH)
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    finally:
        os.close(fd)
    return int(text.partition("mnt_id:")[2].split()[0])


NOWHERE = """
    open a, open-write b, openat d, fopen e, opendir i, stat j, lstat k, fstatat l, access m,
    access-write n, faccessat o, readlink q, readlinkat r, realpath s, chdir u, rmdir x, unlink y,
    unlinkat z, truncate a7, chmod a8, chown b1, utimensat b4, inotify b7, statfs b8, getxattr b9,
    open no/such/place/at/all, stat folder/, stat folder/x, stat file/../x, stat ./folder//x//
"""
# they may be made, or lead elsewhere, or are too much to look at
SOMEWHERE = """
    open-create no/c, creat no/f, mkdir no/v, mknod no/b5, symlinkat no/a6, rename a1, link a3,
    stat dangling, open dangling/x, stat no/1/2/3/4/5
"""


@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_what_a_whole_mount_lacks_is_not_asked_for(
    caller: Caller, kit: Kit, folder: Path, libc: str
) -> None:
    """Neither by the kind of the call, nor by way of links, is more left out than that."""
    (folder / "dangling").symlink_to("/somewhere/else")
    argv = [str(kit.probe(libc)), *steps(NOWHERE, folder), *steps(SOMEWHERE, folder)]
    plain = bare(caller, argv)
    kit.count(1, 1 << 40, mount_of(folder))
    run = Supervised(caller, argv, kit.env())
    assert run.finish() == plain
    asked = [str(folder / path) for path in asked_for(run, folder)]
    assert asked == steps(SOMEWHERE, folder)[1::2]


def test_mounts_that_are_not_listed_are_asked_for(caller: Caller, kit: Kit, folder: Path) -> None:
    arguments = ["stat", "/proc/sys/absent", *steps("stat x, in-directory .", folder)]
    argv = [str(kit.probe("glibc")), *arguments]
    for whole, listed in ((mount_of(Path("/proc")), False), (mount_of(folder), True)):
        kit.count(1, whole)
        run = Supervised(caller, argv, kit.env())
        run.finish()
        paths = [call.path for call in run.seen]
        assert ("/proc/sys/absent" in paths) is listed
        assert (str(folder / "x") in paths) is not listed
        assert ("absent-in-it" in paths) is not listed


def test_a_short_page_is_none(caller: Caller, kit: Kit, folder: Path) -> None:
    kit.page.write_bytes(b"123")
    kit.page.chmod(0o644)
    argv = [str(kit.probe("glibc")), *steps("stat x, stat x", folder)]
    run = Supervised(caller, argv, kit.env())
    run.finish()
    assert asked_for(run, folder) == ["x"] * 2


@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_what_the_monitor_answers(caller: Caller, kit: Kit, folder: Path, libc: str) -> None:
    """EINTR and ENOSYS say nothing of the path; what says something is the answer."""
    kit.count(1)
    answers = {"a": errno.EINTR, "b": errno.ENOSYS, "c": errno.EACCES, "d": errno.EIO}
    argv = [str(kit.probe(libc)), *steps("open a, open b, open c, open d, fopen c", folder)]
    run = Supervised(
        caller, argv, kit.env(), answer=lambda call: answers.get(os.path.basename(call.path), 0)
    )
    lines = [line.partition(": -1 ")[2] for line in run.finish().splitlines()]
    absent, denied = os.strerror(errno.ENOENT), os.strerror(errno.EACCES)
    assert lines[:3] == [absent, absent, denied]
    assert lines[3] == ("I/O error" if libc == "musl" else os.strerror(errno.EIO))
    # an answer that is not the kernel's own is not kept: the next call is to hear it as well
    assert lines[4] == denied


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="looks at a register of x86_64")
def test_the_cookie_does_not_stay(caller: Caller, kit: Kit, folder: Path) -> None:
    argv = [str(kit.probe("glibc")), *steps("register file", folder)]
    assert Supervised(caller, argv, kit.env()).finish().endswith(": 0 0\n")


def test_empty_paths_are_nobodys_business(caller: Caller, kit: Kit) -> None:
    run = Supervised(caller, [str(kit.probe("glibc")), "open", "", "stat", ""], kit.env())
    assert run.finish().count("No such file") == 2
    assert not [call for call in run.seen if call.path == ""]


def test_unusual_ways_of_opening(caller: Caller, kit: Kit, folder: Path) -> None:
    """A stream with a character set is left to libc, and asked for all the same."""
    argv = [str(kit.probe("glibc")), *steps("fopen-charset file, fopen-charset no", folder)]
    out = Supervised(caller, argv, kit.env()).finish().splitlines()
    assert ": 0 at 0" in out[0]
    assert out[1].endswith(": -1 No such file or directory")


PYTHON_CODE = """
import glob, json, os, pathlib, shutil, sys, tempfile, threading
folder = sys.argv[1]
os.chdir(folder)
thread = threading.Thread(target=lambda: os.path.exists("absent-too"))
thread.start()
thread.join()
pathlib.Path("sub").mkdir()
pathlib.Path("sub/text").write_text("hello")
shutil.copytree("sub", "copy")
print(sorted(glob.glob("**", recursive=True)), os.path.realpath("copy/../sub"))
with tempfile.TemporaryDirectory(dir=".") as name: pass
print(os.path.exists("absent"), os.stat("sub/text").st_size, os.listdir("copy"))
"""


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", "cd $0; ls -lR --time-style=+ | grep -v total; cat file absent 2>&1; true"],
        ["sh", "-c", "cd $0; tar cf - . | tar tf - | sort; find . | sort; realpath link"],
        ["sh", "-c", "cd $0; mkdir -p d/e/f; cp -rp folder file link d; rm -r d; mv file g; ls"],
        [PYTHON, "-I", "-c", PYTHON_CODE],
    ],
    ids=["ls", "tar", "cp", "python"],
)
def test_real_programs(caller: Caller, kit: Kit, folder: Path, argv: list[str]) -> None:
    argv = [needs_program(argv[0]) if argv[0] == "sh" else argv[0], *argv[1:], str(folder)]
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, **caller.popen())
    assert (done.returncode, done.stderr) == (0, "")
    for page in (None, 1):
        kit.count(page)
        fresh(caller, folder)
        assert Supervised(caller, argv, {**kit.env(), **env}).finish() == done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="takes a program of another user's")
def test_set_user_id_programs_do_not_load_it(kit: Kit, ground: Path) -> None:
    """The loader drops it there; what they do is not the shim's."""
    caller = callers.caller("user")
    folder = fresh(caller, ground / "shim-setid")
    probe = folder / "setid"
    shutil.copy(kit.probe("glibc"), probe)
    os.chown(probe, 0, 0)
    probe.chmod(0o4755)
    for program, loaded in ((kit.probe("glibc"), "1"), (probe, "0")):
        argv = [str(program), "preloaded", "podsh-shim", "stat", str(folder / "file")]
        done = subprocess.run(
            argv, capture_output=True, text=True, env=kit.env(), **caller.popen(), check=False
        )
        assert done.stdout.splitlines()[0] == f"preloaded podsh-shim: 0 {loaded}"
        assert (done.stderr, ": 0 mode" in done.stdout) == ("", True)


def test_it_needs_nothing(kit: Kit) -> None:
    """No library, no initialisation, only weak symbols: any libc can load it."""
    dynamic = subprocess.run(
        [needs_program("readelf"), "-dW", kit.shim], capture_output=True, text=True, check=True
    ).stdout
    assert not re.search(r"NEEDED|INIT|TEXTREL", dynamic)
    symbols = subprocess.run(
        [needs_program("nm"), "-D", kit.shim], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    kinds = {line.split()[-1]: line.split()[-2] for line in symbols}
    assert {kind for kind in kinds.values() if kind not in "Ti"} == {"w"}
    assert "execve" not in kinds
    listed = """open open64 openat openat64 creat creat64 fopen fopen64 opendir stat stat64 lstat
        lstat64 __xstat __xstat64 __lxstat __lxstat64 __fxstatat __fxstatat64 fstatat fstatat64
        statx access faccessat eaccess euidaccess readlink readlinkat __readlink_chk
        __readlinkat_chk __open_2 __open64_2 __openat_2 __openat64_2 realpath __realpath_chk chdir
        fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink
        symlinkat truncate truncate64 chmod fchmodat chown lchown fchownat utimensat mknod mknodat
        mkfifo mkfifoat getxattr setxattr listxattr removexattr inotify_add_watch statfs"""
    assert set(listed.split()) <= set(kinds)


def test_it_is_built_beside_the_init() -> None:
    path = Path(build.build_shim(str(NATIVE)))
    assert path.name == "podsh-shim.so"
    data = path.read_bytes()
    assert shim.GENERATION.encode() + b"\0" in data
    assert len(data) < 100_000
