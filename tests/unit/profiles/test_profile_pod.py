"""The .pod reader: jettison's whole grammar in both dialects, and each mistake with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.errors import UsageError
from podsh.profiles import pod
from podsh.profiles.schema import Access, Bind, Where
from tests.helpers.profiles import DATA

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.profiles.schema import Profile
    from tests.helpers.profiles import Ground


@pytest.fixture
def reads(ground: Ground) -> Callable[[str], Profile]:
    """The Profile that a .pod text gives, as ``~/.pods/t.pod``."""

    def read(text: str) -> Profile:
        return ground.load(ground.write(ground.pods / "t.pod", text))

    return read


def flags(bind: Bind) -> str:
    return "".join(
        letter
        for letter, on in zip("wxsd", (bind.write, bind.exec, bind.suid, bind.dev), strict=True)
        if on
    )


def test_an_empty_file_is_what_jettison_gives(reads: Callable[[str], Profile]) -> None:
    profile = reads("")
    assert profile.name == "t"
    assert profile.dialect == "pod"
    assert (profile.fs.home, profile.fs.home_exec, profile.fs.tmp_exec) == ("podhome", False, False)
    assert profile.fs.proc
    assert profile.fs.machine_id is None
    assert profile.net.mode == "host"  # jettison makes a network namespace only if told to
    assert profile.seccomp.allow is None
    assert profile.access == Access(domain=False, unlisted="deny")
    assert profile.notes == ()


@pytest.mark.parametrize("given", ["r", "w", "x", "s", "d", "rwxsd", "rx", "rwd", "sx"])
def test_flags(reads: Callable[[str], Profile], given: str) -> None:
    (bind,) = reads(f"file {given} /srv/data").fs.bind
    assert set(flags(bind)) == set(given) - {"r"}
    assert not bind.optional


def test_home_is_shown_below_podhome(reads: Callable[[str], Profile], ground: Ground) -> None:
    binds = reads("home r /.bashrc\nhome rwx /src/\n").fs.bind
    assert binds == (
        Bind(f"{ground.home}/.bashrc", Where(f"{ground.pods}/t.pod", 1), "/podhome/.bashrc",
             exec=False),
        Bind(f"{ground.home}/src", Where(f"{ground.pods}/t.pod", 2), "/podhome/src", write=True),
    )  # fmt: skip


def test_home_root_is_the_whole_home(reads: Callable[[str], Profile], ground: Ground) -> None:
    (bind,) = reads("home rw /").fs.bind
    assert (bind.path, bind.dst, flags(bind)) == (str(ground.home), "/podhome", "w")


def test_words_that_stand_alone(reads: Callable[[str], Profile]) -> None:
    profile = reads("home_exec\ntmp_exec\nnoproc\nnewpts\nx11\n")
    assert (profile.fs.home_exec, profile.fs.tmp_exec, profile.fs.proc) == (True, True, False)
    assert profile.x11.enabled


@pytest.mark.parametrize("word", ["newnet", "netns"])
def test_networks_in_both_dialects(reads: Callable[[str], Profile], word: str) -> None:
    assert reads(f"{word} none").net.mode == "none"
    assert reads(f"{word} loop").net.mode == "loop"
    ipvlan = reads(f"{word} ipvlan eth0 192.168.1.8/16").net
    assert (ipvlan.mode, ipvlan.device, ipvlan.address) == ("ipvlan", "eth0", "192.168.1.8/16")
    macvlan = reads(f"{word} macvlan eth0 **:**:**:**:**:** 192.168.1.8").net
    assert (macvlan.mode, macvlan.mac, macvlan.address) == ("macvlan", None, "192.168.1.8/24")
    fixed = reads(f"{word} macvlan eth0 AA:BB:CC:DD:EE:FF 192.168.1.8").net
    assert fixed.mac == "aa:bb:cc:dd:ee:ff"


@pytest.mark.parametrize("allow", ["seccomp", "seccomp_allow"])
def test_calls_in_both_dialects_and_in_order(reads: Callable[[str], Profile], allow: str) -> None:
    seccomp = reads(
        f"{allow} write\n{allow} __NR_read\n{allow} write\nseccomp_block open\n"
    ).seccomp
    assert (seccomp.allow, seccomp.block) == (("write", "read"), ("open",))


def test_x11_in_both_dialects(reads: Callable[[str], Profile]) -> None:
    assert reads("X11").x11.enabled
    assert reads("x11").x11.enabled


def test_capabilities_machine_id_cmdr(reads: Callable[[str], Profile]) -> None:
    profile = reads(f"capability CAP_NET_RAW\nmachine-id {'0a' * 16}\ncmdr filter\n")
    assert profile.caps == ("CAP_NET_RAW",)
    assert profile.fs.machine_id == "0a" * 16
    assert profile.run.cmdr == "filter"
    assert reads("machine-id").fs.machine_id == ""


def test_blanks_comments_and_line_ends(reads: Callable[[str], Profile]) -> None:
    text = "# about it\r\n\r\n \t\r\n\tfile\t rx\t /usr \t\r\n"
    text += "  # inner\r\nfile r /etc/x # why\r\nnewpts"
    profile = reads(text)
    assert profile.description == "about it"
    assert [(bind.path, bind.where.line) for bind in profile.fs.bind] == [
        ("/usr", 4),
        ("/etc/x", 6),
    ]


def test_nothing_expands(reads: Callable[[str], Profile]) -> None:
    there, below_home = reads("file r /a/$LIBS/{cwd}/~\nhome r /$X").fs.bind
    assert there.path == "/a/$LIBS/{cwd}/~"
    assert below_home.dst == "/podhome/$X"


@pytest.mark.parametrize("path", sorted(pod.SYSTEM_DIRS - {"/proc"}))
def test_system_directories_stay_read_only(reads: Callable[[str], Profile], path: str) -> None:
    profile = reads(f"\nfile rwx {path}/")
    (bind,) = profile.fs.bind
    assert flags(bind) == "x"
    (note,) = profile.notes
    assert f"t.pod:2: {path} is bound read-only" in note


def test_below_a_system_directory_may_be_writable(reads: Callable[[str], Profile]) -> None:
    profile = reads("file rw /etc/app\nfile r /etc\nfile rw /home/ada\nfile rw /var/lib/app\n")
    assert [flags(bind) for bind in profile.fs.bind] == ["w", "", "w", "w"]
    assert profile.notes == ()


def test_a_toml_profile_binds_a_system_directory_as_it_says(ground: Ground) -> None:
    ground.profile("t.toml", '[[fs.bind]]\npath = "/etc"\nwrite = true\n')
    assert ground.load("t").fs.bind[0].write


MISTAKES = {
    "unknown": ("files r /a", 'unknown keyword "files"', 'did you mean "file"?'),
    "far": ("qqqq", 'unknown keyword "qqqq"', "known: file, home"),
    "gone": ("chroot /x", 'unknown keyword "chroot"', "root is podsh's own"),
    "old capability": ("cap_bset CAP_CHOWN", "unknown keyword", "write capability"),
    "capitals": ("FILE r /a", 'unknown keyword "FILE"', "known: file"),
    "no flags": ("file /a", 'file "/a" has no flags', "file r /a"),
    "nothing": ("file", "file needs flags and a path", "FLAGS"),
    "flag": ("file rq /a", 'the unknown flag "q"', "r w x s d"),
    "flag twice": ("file rrrrrr /a", "a flag twice", "r w x s d"),
    "relative": ("file r a/b", '"a/b" does not begin with /', "/path"),
    "tilde": ("file r ~/a", "does not begin with /", "/path"),
    "root": ("file r /", "the whole file system", "below it"),
    "root again": ("file r //", "the whole file system", "below it"),
    "dots": ("home r /../x", '".." in it', "leads to"),
    "blank in path": ("file r /a b", '"b" after the path', "TOML"),
    "proc": ("file r /proc", "is the kernel's", "/proc of its own"),
    "extra": ("noproc now", '"now" is too much', "stands alone"),
    "no call": ("seccomp_allow", "names nothing", "seccomp_allow CALL"),
    "two calls": ("seccomp_allow read write", '"write" after seccomp_allow', "CALL"),
    "bad call": ("seccomp_block re-ad", "cannot be a system call", "openat"),
    "refused": ("capability CAP_SYS_MODULE", "CAP_SYS_MODULE is refused: it loads code", "take"),
    "hinted": ("capability cap_sys_admin", "is refused: it mounts", "nesting = true"),
    "capability": ("capability CAP_NET_ROW", "is no capability", '"CAP_NET_RAW"?'),
    "newnet": ("newnet", 'newnet "" is none of none, loop', "newnet none"),
    "newnet kind": ("newnet vethbr", "is none of", "newnet none"),
    "newnet near": ("newnet ipvlna e 1.2.3.4", "is none of", '"ipvlan"?'),
    "newnet more": ("newnet none eth0", "takes nothing more", "newnet none"),
    "newnet less": ("newnet ipvlan eth0", "takes two words", "newnet ipvlan DEV ADDR"),
    "newnet mac": ("newnet macvlan eth0 1.2.3.4/24", "takes three words", "DEV MAC ADDR"),
    "newnet order": ("newnet macvlan e 1.2.3.4 aa:bb:cc:dd:ee:ff", "no hardware address", "aa:bb"),
    "address": ("newnet ipvlan eth0 1.2.3", "is no address", "192.168"),
    "mask": ("newnet ipvlan eth0 1.2.3.4/33", "is no address", "192.168"),
    "machine-id": ("machine-id 123", "is no machine-id", "32 hex"),
    "machine-id more": (f"machine-id {'0' * 32} x", "is too much", "machine-id ID"),
    "cmdr path": ("cmdr ../x", "no plain name", "cmdrs directory"),
    "escape": ("file r /a\x1b[2J", "unprintable characters", "remove"),
    "carriage return": ("file r /a\rb", "unprintable characters", "remove"),
}


@pytest.mark.parametrize(("line", "cause", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(
    reads: Callable[[str], Profile], ground: Ground, line: str, cause: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        reads(f"# first\nhome_exec\n{line}\ntmp_exec\n")
    error = caught.value
    assert error.place == f"{ground.pods}/t.pod:3"
    assert cause in error.cause
    assert hint in error.hint
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("line", "again"),
    [
        ("newnet loop", "netns none"),
        ("machine-id", "machine-id"),
        ("cmdr x", "cmdr y"),
        ("file r /a", "file rx /a"),
        ("home r /a", "home r /a/"),
        ("home r /", "home rw /"),
    ],
)
def test_duplicates_are_refused(
    reads: Callable[[str], Profile], ground: Ground, line: str, again: str
) -> None:
    reads(line)
    with pytest.raises(UsageError) as caught:
        reads(f"{line}\nnewpts\n{again}")
    assert caught.value.place == f"{ground.pods}/t.pod:3"
    assert "there twice (first at line 1)" in caught.value.cause


def test_duplicate_with_other_flags_and_slashes(reads: Callable[[str], Profile]) -> None:
    with pytest.raises(UsageError, match="there twice"):
        reads("file r /usr//lib\nfile rx /usr/lib/\n")


@pytest.mark.parametrize(
    ("stem", "binds", "allow"), [("devel", 14, 6), ("browser", 6, 4), ("small", 4, 3)]
)
def test_jettisons_pods_load_unchanged(ground: Ground, stem: str, binds: int, allow: int) -> None:
    profile = ground.load(str(DATA / "jettison" / f"{stem}.pod"))
    assert profile.name == stem
    assert len(profile.fs.bind) == binds
    assert len(profile.seccomp.allow or ()) == allow
    assert profile.notes == ()


def test_what_jettisons_pods_say(ground: Ground) -> None:
    devel = ground.load(str(DATA / "jettison" / "devel.pod"))
    assert devel.seccomp.allow == (
        "gettimeofday", "_newselect", "stat64", "fadvise64_64", "read", "exit_group"
    )  # fmt: skip
    null = next(bind for bind in devel.fs.bind if bind.path == "/dev/null")
    assert flags(null) == "wd"
    assert devel.net.mode == "host"
    browser = ground.load(str(DATA / "jettison" / "browser.pod"))
    assert (browser.x11.enabled, browser.fs.machine_id, browser.run.cmdr) == (True, "", "filter")
    small = ground.load(str(DATA / "jettison" / "small.pod"))
    assert (small.net.mode, small.fs.home_exec) == ("none", True)


def test_a_toml_profile_can_extend_a_pod(ground: Ground) -> None:
    ground.write(ground.pods / "old.pod", "file rx /usr\nhome_exec\n")
    ground.profile("mine.toml", 'extends = "old.pod"\n[net]\nmode = "none"\n')
    profile = ground.load("mine")
    assert (profile.fs.home, profile.fs.home_exec, profile.net.mode) == ("podhome", True, "none")
    assert profile.fs.bind[0].path == "/usr"
