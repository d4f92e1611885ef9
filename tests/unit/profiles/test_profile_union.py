"""Several profiles at once: wider in what is shown, as strict as the strictest in what protects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.errors import UsageError
from podsh.profiles import schema as s
from podsh.profiles.find import union

if TYPE_CHECKING:
    from tests.helpers.profiles import Ground


def of(ground: Ground, *texts: str) -> s.Profile:
    names = []
    for number, text in enumerate(texts):
        ground.profile(f"u{number}.toml", text)
        names.append(f"u{number}")
    return union([ground.load(name) for name in names])


def test_one_is_itself(ground: Ground) -> None:
    profile = ground.load("base")
    assert union([profile]) is profile


def test_binds_are_joined_and_the_wider_flags_count(ground: Ground) -> None:
    profile = of(
        ground,
        '[[fs.bind]]\npath = "/a"\nexec = false\noptional = true\n[[fs.bind]]\npath = "/b"\n',
        '[[fs.bind]]\npath = "/a"\nwrite = true\nexec = false\n[[fs.bind]]\npath = "/c"\n',
    )
    a, b, c = profile.fs.bind
    assert (a.path, a.write, a.exec, a.optional) == ("/a", True, False, False)
    assert a.where.file.endswith("u1.toml")  # who asked for the writing
    assert (b.path, b.write, c.path) == ("/b", False, "/c")
    assert profile.name == "u0+u1"


def test_one_place_cannot_show_two_things(ground: Ground) -> None:
    with pytest.raises(UsageError) as caught:
        of(
            ground,
            '[[fs.bind]]\npath = "/a"\ndst = "/x"\n',
            '[[fs.bind]]\npath = "/b"\ndst = "/x"\n',
        )
    assert caught.value.cause == '"/x" is to show "/a" and "/b"'
    assert "u1.toml:2 and " in caught.value.place


def test_scalars(ground: Ground) -> None:
    profile = of(
        ground,
        '[run]\ncmd = ["a"]\nenv = { A = "1" }\nclear_env = true\n[fs]\ntmp_exec = false\n'
        "home_exec = false\n[limits]\nprocesses = 5\nptys = 9\n[seccomp]\nptrace = true\n"
        'strict = true\nblock = ["link"]\nallow = ["read"]\n[caps]\nkeep = ["CAP_CHOWN"]\n',
        '[run]\ncmd = ["b"]\nenv = { A = "1", B = "2" }\n[fs]\nhome = "tmp"\nhome_exec = false\n'
        '[limits]\nprocesses = 7\n[seccomp]\nblock = ["pipe"]\nallow = ["write"]\n'
        '[net]\nmode = "loop"\n[x11]\nenabled = true\n',
    )
    assert profile.run.cmd == ("a",)
    assert dict(profile.run.env) == {"A": "1", "B": "2"}
    assert not profile.run.clear_env
    assert (profile.fs.home, profile.fs.tmp_exec, profile.fs.home_exec) == ("tmp", True, False)
    assert (profile.limits.processes, profile.limits.ptys) == (7, 9)
    assert profile.seccomp == s.Seccomp(("read", "write"), ("link", "pipe"), ptrace=True)
    assert profile.caps == ("CAP_CHOWN",)
    assert profile.net.mode == "loop"
    assert profile.x11.enabled


def test_a_whitelist_beside_none_is_none(ground: Ground) -> None:
    assert of(ground, '[seccomp]\nallow = ["read"]', "").seccomp.allow is None


def test_access_is_as_the_strictest_says(ground: Ground) -> None:
    profile = of(
        ground,
        '[access]\ntransition = "auto"\nunlisted = "ask"\nunattended = "hold"\nconfined = false\n'
        'shim = false\ndeny = ["/a"]\nask = ["/q"]\n',
        '[access]\ntransition = "ask"\nunlisted = "deny"\ndeny = ["/a", "/b"]\n',
    ).access
    assert (profile.transition, profile.unlisted, profile.unattended) == ("ask", "deny", None)
    assert (profile.confined, profile.shim) == (True, False)
    assert [pattern.text for pattern in profile.deny] == ["/a", "/b"]
    assert [pattern.text for pattern in profile.ask] == ["/q"]
    same = of(ground, *['[access]\ntransition = "auto"\nunattended = "hold"'] * 2).access
    assert (same.transition, same.unattended) == ("auto", "hold")


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ('[run.env]\nA = "1"', '[run.env]\nA = "2"', "env.A"),
        ('[fs]\nhome = "tmp"', '[fs]\nhome = "podhome"', "home"),
        ('[run]\ncwd = "/a"', '[run]\ncwd = "/b"', "cwd"),
        ('[net]\nmode = "host"', '[net]\nmode="ipvlan"\ndevice="e"\naddress="1.2.3.4"', "[net]"),
    ],
)
def test_what_cannot_be_both_is_refused(ground: Ground, first: str, second: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        of(ground, first, second)
    assert what in caught.value.cause
    assert "u0.toml and" in caught.value.place


def test_shipped_ones_go_together(ground: Ground) -> None:
    profile = union([ground.load(name) for name in ("python", "git", "agent")])
    assert profile.net.mode == "host"
    assert str(ground.project) in [bind.path for bind in profile.fs.bind]
    assert len(profile.access.deny) == len(ground.load("base").access.deny)


def test_a_pod_file_with_a_profile(ground: Ground) -> None:
    ground.write(ground.pods / "x.pod", "file rx /usr\nnewnet none\n")
    profile = union([ground.load("base"), ground.load("x")])
    assert (profile.fs.home, profile.net.mode, profile.dialect) == ("podhome", "none", "toml")
