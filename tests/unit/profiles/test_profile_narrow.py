"""A profile that came with a project's folder can only narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.errors import UsageError
from podsh.profiles.schema import Context

if TYPE_CHECKING:
    from podsh.profiles.schema import Profile
    from tests.helpers.profiles import Ground

FINE = """
name = "theirs"
extends = "base"
[[fs.bind]]
path = "{cwd}"
write = true
[[fs.bind]]
path = "{cwd}/data"
dst = "/data"
[[fs.bind]]
path = "/usr/bin"
[[fs.bind]]
path = "/etc/passwd"
[[fs.bind]]
path = "/dev/null"
write = true
dev = true
[fs]
home = "tmp"
tmp_exec = false
[run]
cmd = "make"
cwd = "{cwd}"
env = { A = "1", B = "{cwd}", C = "~/x" }
[seccomp]
block = ["ptrace"]
allow = ["read"]
new_filters = false
[net]
mode = "none"
[limits]
processes = 100
ptys = 64
memory = "1G"
[access]
deny = ["{cwd}/.env"]
unlisted = "deny"
unattended = "deny"
domain = false
"""


def load(ground: Ground, text: str, name: str = "p.toml") -> Profile:
    return ground.load(ground.write(ground.project / name, text))


def test_what_narrows_is_fine(ground: Ground) -> None:
    (ground.project / "data").mkdir()
    profile = load(ground, FINE)
    assert str(ground.project) in [bind.path for bind in profile.fs.bind]
    assert profile.access.domain is False
    assert profile.limits.processes == 100


WIDER = {
    "home": ('[[fs.bind]]\npath = "~/x"', 2, '/x" is shown, and is not below'),
    "write /usr": ('[[fs.bind]]\npath = "/usr"\nwrite = true', 2, '"/usr" is writable'),
    "etc": ('[[fs.bind]]\npath = "/etc"', 2, '"/etc" is shown'),
    "suid": ('[[fs.bind]]\npath = "{cwd}"\nsuid = true', 2, "with suid or dev"),
    "device": ('[[fs.bind]]\npath = "/dev/sda"\ndev = true', 2, "with suid or dev"),
    "home mode": ('[fs]\nhome = "host"', 2, "fs.home = host"),
    "network": ('[net]\nmode = "host"', 2, 'net.mode "host"'),
    "ipvlan": ('[net]\nmode = "ipvlan"\ndevice = "e"\naddress = "1.2.3.4"', 2, "net.mode"),
    "netlog": ("[net]\nlog = [1, 1]", 2, "net.log"),
    "caps": ('[caps]\nkeep = ["CAP_CHOWN"]', 2, "caps.keep"),
    "ptrace": ("[seccomp]\nptrace = true", 2, "seccomp.ptrace = true"),
    "nesting": ("[seccomp]\nnesting = true", 2, "seccomp.nesting = true"),
    "blacklist": ("[seccomp]\nblacklist = true", 2, "seccomp.blacklist"),
    "abi": ('[seccomp]\nabi = ["native", "i386"]', 2, "seccomp.abi"),
    "x11": ("[x11]\nenabled = true", 2, "x11.enabled = true"),
    "wayland": ("[wayland]\nnested = true", 2, "wayland.nested = true"),
    "domain": ("[access]\ndomain = true", 2, "access.domain = true"),
    "transition": ('[access]\ntransition = "auto"', 2, "access.transition = auto"),
    "confined": ("[access]\nconfined = false", 2, "access.confined = false"),
    "shim": ("[access]\nshim = false", 2, "access.shim = false"),
    "unattended": ('[access]\nunattended = "hold"', 2, "access.unattended = hold"),
    "processes": ("[limits]\nprocesses = 5000", 2, "limits.processes = 5000 is above base's 4096"),
    "open files": ("[limits]\nopen_files = 9", 2, "limits.open_files"),
    "extends user's": ('extends = "wide"', 1, 'extends "wide"'),
    "extends shipped": ('extends = ["base", "agent"]', 1, 'extends "agent"'),
    "extends path": ('extends = "~/wide.toml"', 1, 'extends "~/wide.toml"'),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "cause"), WIDER.values(), ids=WIDER)
def test_what_widens_is_refused(ground: Ground, text: str, line: int, cause: str) -> None:
    ground.profile("wide.toml", "")
    ground.write(ground.home / "wide.toml", "")
    with pytest.raises(UsageError) as caught:
        load(ground, text)
    assert caught.value.place == f"{ground.project}/p.toml:{line}"
    assert cause in caught.value.cause
    assert "~/.config/podsh/profiles" in caught.value.hint
    # the same text is fine as the user's own
    ground.profile("same.toml", text)
    ground.load("same")


@pytest.mark.parametrize(
    "text",
    [
        '[[fs.bind]]\npath = "$LIBS"', '[[fs.bind]]\npath = "{cwd}"\ndst = "/a$LIBS"',
        '[run]\nenv = { A = "$LIBS" }', '[run]\ncwd = "$LIBS"', '[access]\ndeny = ["$LIBS"]',
    ],
)  # fmt: skip
def test_the_environment_stays_the_callers(ground: Ground, text: str) -> None:
    with pytest.raises(UsageError, match=r"reads .LIBS, which a profile that came with a project"):
        load(ground, text)


def test_a_link_out_of_the_folder(ground: Ground) -> None:
    secret = ground.home / "secret"
    secret.mkdir()
    (ground.project / "link").symlink_to(secret)
    with pytest.raises(UsageError, match="leads out of"):
        load(ground, '[[fs.bind]]\npath = "{cwd}/link"')
    with pytest.raises(UsageError, match="leads out of"):
        load(ground, '[[fs.bind]]\npath = "{cwd}/link/deeper/new"')
    (ground.project / "inner").symlink_to("data")
    load(ground, '[[fs.bind]]\npath = "{cwd}/inner"')


def test_links_are_looked_at_each_time(ground: Ground) -> None:
    load(ground, '[[fs.bind]]\npath = "{cwd}/a"')
    (ground.project / "a").symlink_to(ground.home)
    with pytest.raises(UsageError, match="leads out of"):
        ground.load(str(ground.project / "p.toml"))


def test_what_base_shows_is_a_measure_of_flags_and_place(ground: Ground) -> None:
    shown = ground.home / "shown"
    (shown / "inner").mkdir(parents=True)
    (shown / "out").symlink_to(ground.home / "secret")
    ground.profile("base.toml", f'[[fs.bind]]\npath = "{shown}"\nexec = false\n')
    load(ground, f'[[fs.bind]]\npath = "{shown}/inner"\nexec = false\n')
    with pytest.raises(UsageError, match="is shown, and is not below"):
        load(ground, f'[[fs.bind]]\npath = "{shown}/inner"\n')
    with pytest.raises(UsageError, match="is shown, and is not below"):
        load(ground, f'[[fs.bind]]\npath = "{shown}/out"\nexec = false\n')


def test_extends_by_a_link_out_of_the_folder(ground: Ground) -> None:
    (ground.project / "link.toml").symlink_to(ground.profile("mine.toml", ""))
    with pytest.raises(UsageError, match="not base or a file of its own"):
        load(ground, 'extends = "./link.toml"')


def test_base_denies_whether_extended_or_not(ground: Ground) -> None:
    profile = load(ground, '[access]\ndeny = ["/x"]')
    denied = [pattern.text for pattern in profile.access.deny]
    assert f"{ground.home}/.ssh" in denied
    assert "/x" in denied
    assert profile.fs.bind == ()


def test_a_chain_inside_the_folder_is_checked_too(ground: Ground) -> None:
    ground.write(ground.project / "sub" / "q.toml", '[net]\nmode = "host"\n')
    with pytest.raises(UsageError) as caught:
        load(ground, 'extends = "./sub/q.toml"\n[net]\nmode = "none"')
    assert caught.value.place == f"{ground.project}/sub/q.toml:2"


def test_the_users_own_base_is_the_measure(ground: Ground) -> None:
    ground.profile("base.toml", 'extends = "base"\n[net]\nmode = "host"\n')
    assert load(ground, 'extends = "base"\n[net]\nmode = "host"').net.mode == "host"
    ground.profile("base.toml", 'extends = "base"\n[limits]\nprocesses = 10\n')
    with pytest.raises(UsageError, match="above base's 10"):
        load(ground, "[limits]\nprocesses = 11")


def test_a_list_of_calls_may_only_become_shorter(ground: Ground) -> None:
    """Where the person's own base has one, whether the project extends it or not."""
    lists = 'allow = ["read", "write"]\nblock = ["kill"]\nstrict = true\nnew_filters = false\n'
    ground.profile("base.toml", f'extends = "base"\n[seccomp]\n{lists}')
    for extends in ("", 'extends = "base"\n'):
        found = load(ground, f'{extends}[seccomp]\nallow = ["read"]\nblock = ["pipe"]\n').seccomp
        assert (found.allow, found.block) == (("read",), ("kill", "pipe"))
        assert (found.strict, found.new_filters) == (True, False)
        assert load(ground, f'{extends}description = "none"\n').seccomp.allow == ("read", "write")
        for wider in ('allow = ["read", "getpid"]', "allow = []", "strict = false"):
            with pytest.raises(UsageError, match="cannot widen: seccomp"):
                load(ground, f"{extends}[seccomp]\n{wider}\n")


def test_pod_files_too(ground: Ground) -> None:
    profile = load(ground, "file rx /usr\nfile rx /lib\nfile rwd /dev/null\nhome_exec\n", "x.pod")
    assert profile.net.mode == "none"
    assert "no network" in profile.notes[0]
    with pytest.raises(UsageError, match="is shown, and is not below"):
        load(ground, "home r /.bashrc", "x.pod")
    assert load(ground, "newnet loop", "x.pod").net.mode == "loop"
    with pytest.raises(UsageError, match=r"net.mode .ipvlan. is wider"):
        load(ground, "newnet ipvlan e 1.2.3.4", "x.pod")
    with pytest.raises(UsageError, match=r"x11.enabled = true"):
        load(ground, "x11", "x.pod")
    with pytest.raises(UsageError, match="cmdr"):
        load(ground, "cmdr x", "x.pod")


def test_the_cached_pod_keeps_its_network(ground: Ground) -> None:
    """The same file, named from elsewhere, is the person's own."""
    path = ground.write(ground.project / "x.pod", "file r /usr")
    assert ground.load(path).net.mode == "none"
    elsewhere = Context(str(ground.home), "/srv/other", ())
    assert ground.library.load(path, elsewhere).net.mode == "host"
    assert ground.load(path).net.mode == "none"


WIDE = '[net]\nmode = "host"\n'


def test_a_plain_name_in_the_folder_is_the_folders(ground: Ground) -> None:
    ground.write(ground.project / "x.toml", WIDE)
    with pytest.raises(UsageError, match="cannot widen"):
        ground.load("x.toml")


def test_a_link_to_a_file_of_the_folder(ground: Ground) -> None:
    target = ground.write(ground.project / "x.toml", WIDE)
    (ground.home / "mine.toml").symlink_to(target)
    with pytest.raises(UsageError, match="cannot widen"):
        ground.load("~/mine.toml")


def test_a_link_in_the_folder_to_a_users_profile(ground: Ground) -> None:
    target = ground.profile("wide.toml", WIDE)
    (ground.project / "x.toml").symlink_to(target)
    with pytest.raises(UsageError, match="cannot widen"):
        ground.load("./x.toml")


def test_profile_directories_below_the_caller_are_the_users(ground: Ground) -> None:
    at_home = Context(str(ground.home), str(ground.home), ())
    path = ground.profile("wide.toml", WIDE)
    assert ground.library.load(path, at_home).net.mode == "host"
    inside = Context(str(ground.home), str(ground.user), ())
    assert ground.library.load("./wide.toml", inside).net.mode == "host"


def test_from_home_the_files_own_folder_is_the_project(ground: Ground) -> None:
    at_home = Context(str(ground.home), str(ground.home), ())
    path = ground.write(ground.project / "x.toml", WIDE)
    with pytest.raises(UsageError, match="cannot widen"):
        ground.library.load(path, at_home)
    ground.write(ground.project / "x.toml", f'[[fs.bind]]\npath = "{ground.project}/data"\n')
    assert ground.library.load(path, at_home).fs.bind
    ground.write(ground.home / "mine.toml", WIDE)
    assert ground.library.load("~/mine.toml", at_home).net.mode == "host"


def test_a_file_elsewhere_is_the_persons(ground: Ground) -> None:
    path = ground.write(ground.home / "other" / "x.toml", WIDE)
    assert ground.load(path).net.mode == "host"
