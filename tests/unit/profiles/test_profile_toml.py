"""The TOML reader: every key of the table, StemJail's files, and each mistake with its line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from podsh.errors import UsageError
from podsh.profiles import schema as s
from podsh.profiles import toml
from podsh.profiles.layer import RawBind
from tests.helpers.profiles import DATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.helpers.profiles import Ground

STEMJAIL = sorted((DATA / "stemjail").glob("*.toml"))
CLIENTS = ("/bin", "/etc", "/lib", "/lib64", "/usr", "/var/cache")

EVERYTHING = """
name = "all"
description = "every key"

[[fs.bind]]
path = "/srv/a"
dst = "/b"
write = true
exec = false
suid = true
dev = true
optional = true

[fs]
home = "tmp"
home_exec = false
tmp_exec = false
proc = false
machine_id = "0123456789abcdef0123456789abcdef"

[run]
cmd = ["/bin/sh", "-c", "echo $HOME ~ {cwd}"]
env = { A = "1", B = "$LIBS/x", C = "$$LIBS" }
clear_env = true
cwd = "/"
procname = "shell"
stack = "1M"
init = "/podhome/init.sh"

[seccomp]
allow = ["read", "__NR_write", "read"]
block = ["ptrace"]
strict = true
blacklist = true
abi = ["native", "i386"]
new_filters = false
ptrace = true
nesting = true

[net]
mode = "macvlan"
device = "eth0"
address = "192.168.1.8"
mac = "AA:bb:cc:dd:ee:ff"
log = [100, 5]

[caps]
keep = ["CAP_NET_RAW", "cap_chown"]

[limits]
processes = 10
open_files = 11
memory = "512M"
cpu = 0.5
file_size = "2GiB"
tmpfs = 4096
ptys = 3
stack = "8 M"

[x11]
enabled = true
nested = true

[wayland]
enabled = true

[access]
domain = false
transition = "auto"
unlisted = "deny"
ask = ["/srv/*"]
deny = ["~/.ssh", "{cwd}/.env"]
shim = false
confined = false
unattended = "hold"
"""


def test_every_key(loads: Callable[[str], s.Profile], ground: Ground) -> None:
    profile = loads(EVERYTHING)
    file = profile.source
    where = s.Where(file, 6)
    assert (profile.name, profile.description, profile.dialect) == ("all", "every key", "toml")
    assert profile.fs == s.Fs(
        bind=(s.Bind("/srv/a", where, "/b", True, False, True, True, True),),
        home="tmp",
        home_exec=False,
        tmp_exec=False,
        proc=False,
        machine_id="0123456789abcdef0123456789abcdef",
    )
    assert profile.run == s.Run(
        cmd=("/bin/sh", "-c", "echo $HOME ~ {cwd}"),
        env=(("A", "1"), ("B", "/srv/libs/x"), ("C", "$LIBS")),
        clear_env=True,
        cwd="/",
        procname="shell",
        stack=1 << 20,
        init="/podhome/init.sh",
    )
    assert profile.seccomp == s.Seccomp(
        allow=("read", "write"),
        block=("ptrace",),
        strict=True,
        blacklist=True,
        abi=("native", "i386"),
        new_filters=False,
        ptrace=True,
        nesting=True,
    )
    assert profile.net == s.Net("macvlan", "eth0", "192.168.1.8/24", "aa:bb:cc:dd:ee:ff", (100, 5))
    assert profile.caps == ("CAP_NET_RAW", "CAP_CHOWN")
    assert profile.limits == s.Limits(10, 11, 512 << 20, 0.5, 2 << 30, 4096, 3, 8 << 20)
    assert profile.x11 == s.Display(enabled=True, nested=True)
    assert profile.wayland == s.Display(enabled=True)
    assert profile.access == s.Access(
        domain=False,
        transition="auto",
        unlisted="deny",
        ask=(s.Pattern("/srv/*", s.Where(file, 71)),),
        deny=(
            s.Pattern(f"{ground.home}/.ssh", s.Where(file, 72)),
            s.Pattern(f"{ground.project}/.env", s.Where(file, 72)),
        ),
        shim=False,
        confined=False,
        unattended="hold",
    )


def test_the_list_of_keys_is_the_schema() -> None:
    """No key is read that a Profile cannot hold, and none it holds is forgotten."""
    classes = {
        "fs": s.Fs, "run": s.Run, "seccomp": s.Seccomp, "net": s.Net, "limits": s.Limits,
        "x11": s.Display, "wayland": s.Display, "access": s.Access,
    }  # fmt: skip
    for table, kind in classes.items():
        assert set(toml.TABLES[table]) == set(kind.__slots__) - {"bind"}
    assert set(toml.TABLES) - {"caps"} == set(classes)
    own = {"where", "within", "label", "literal"}
    assert set(s.Bind.__slots__) - own == set(RawBind._fields) - own


def test_defaults(loads: Callable[[str], s.Profile]) -> None:
    profile = loads('[[fs.bind]]\npath = "/srv"\n')
    assert profile.name == "t"
    assert profile.fs.bind == (s.Bind("/srv", s.Where(profile.source, 2)),)
    assert profile == s.Profile("t", fs=s.Fs(bind=profile.fs.bind), source=profile.source)


@pytest.mark.parametrize("path", STEMJAIL, ids=lambda path: path.stem)
def test_stemjail_files_load_unchanged(path: Path, ground: Ground) -> None:
    profile = ground.load(str(path))
    text = path.read_text().splitlines()
    assert f'name = "{profile.name}"' in text
    assert profile.run.cmd[0] in ("/bin/sh", "/usr/bin/setsid")
    assert profile.fs.bind
    for bind in profile.fs.bind:
        assert text[bind.where.line - 1] == f'path = "{bind.path}"'
        assert bind.write == ("write = true" in text[bind.where.line : bind.where.line + 1])
    assert profile.access.domain
    assert not profile.access.deny


def test_stemjail_has_six() -> None:
    assert len(STEMJAIL) == 6
    assert {path.stem for path in STEMJAIL if "client" in path.stem}


def test_stemjail_values(ground: Ground) -> None:
    profile = ground.load(str(DATA / "stemjail" / "client-north.toml"))
    assert profile.name == "North"
    assert [bind.path for bind in profile.fs.bind] == [*CLIENTS, "/home/ada/Clients/North"]
    assert [bind.write for bind in profile.fs.bind] == [False] * 6 + [True]
    trial = ground.load(str(DATA / "stemjail" / "trial1.toml"))
    assert trial.run.cmd == ("/bin/sh", "-c", "echo $HOME; id")


@pytest.mark.parametrize(
    ("written", "cmd"),
    [
        ('"/bin/sh"', ("/bin/sh",)),
        ("\"make -C 'a b' $X\"", ("make", "-C", "a b", "$X")),
        ('["a b", ""]', ("a b", "")),
    ],
)
def test_cmd_forms(loads: Callable[[str], s.Profile], written: str, cmd: tuple[str, ...]) -> None:
    assert loads(f"[run]\ncmd = {written}").run.cmd == cmd


@pytest.mark.parametrize(
    ("written", "expected"),
    [("true", ""), ("false", None), ('""', ""), ('"' + "a" * 32 + '"', "a" * 32)],
)
def test_machine_id(loads: Callable[[str], s.Profile], written: str, expected: str | None) -> None:
    assert loads(f"[fs]\nmachine_id = {written}").fs.machine_id == expected


@pytest.mark.parametrize(
    ("written", "size"),
    [("1", 1), ('"1"', 1), ('"3K"', 3072), ('"1MB"', 1 << 20), ('"1T"', 1 << 40)],
)
def test_sizes(loads: Callable[[str], s.Profile], written: str, size: int) -> None:
    assert loads(f"[limits]\nmemory = {written}").limits.memory == size


def test_mac_of_stars_is_the_kernels(loads: Callable[[str], s.Profile]) -> None:
    net = loads(
        '[net]\nmode="macvlan"\ndevice="eth0"\naddress="fd00::1/48"\nmac="**:**:**:**:**:**"'
    ).net
    assert (net.mac, net.address) == (None, "fd00::1/48")


def test_byte_order_mark_and_crlf(loads: Callable[[str], s.Profile]) -> None:
    profile = loads('\ufeffname = "x"\r\n[[fs.bind]]\r\npath = "/srv"\r\n')
    assert profile.name == "x"
    assert profile.fs.bind[0].where.line == 3


BIND = "[[fs.bind]]\n"
MISTAKES = {
    "unknown key": ('nmae = "x"', 1, 'unknown key "nmae"', 'did you mean "name"?'),
    "unknown table": ("\n[netz]\na = 1", 2, 'unknown key "netz"', 'did you mean "net"?'),
    "unknown in table": ('[run]\ncmdd = "x"', 2, 'unknown key "cmdd" in run', '"cmd"?'),
    "unknown in bind": (BIND + 'path="/a"\nwirte=true', 3, 'in fs.bind[0]', '"write"?'),
    "key of another table": ('[fs]\nmode = "none"', 2, 'unknown key "mode" in fs', "below [net]"),
    "far from any": ("[caps]\nzzzzz = 1", 2, "unknown key", "known: keep"),
    "no table": ("net = 5", 1, "net is an integer, not a table", "write [net]"),
    "bind no array": ("[fs]\nbind = 5", 2, "fs.bind is no array of tables", "[[fs.bind]]"),
    "bind single": ('[fs.bind]\npath = "/a"', 1, "fs.bind is no array of tables", "[[fs.bind]]"),
    "bind without path": ("\n" + BIND + "write = true", 2, "fs.bind[0] has no path", "path ="),
    "second bind": (BIND + 'path="/a"\n' + BIND + "path=5", 4, "fs.bind[1].path is an integer",
                    "quotes"),
    "bool as string": (BIND + 'path="/a"\nwrite="yes"', 3, "fs.bind[0].write is a string",
                       "true or false"),
    "relative": (BIND + 'path = "src"', 2, 'fs.bind[0].path "src" is relative', "begins with ~/"),
    "root": (BIND + 'path = "//."', 2, "is the whole file system", "below it"),
    "dots": (BIND + 'path = "/a/../b"', 2, '".." in it', "leads to"),
    "nul": (BIND + 'path = "/a\\u0000b"', 2, "contains NUL", "remove it"),
    "empty": (BIND + 'path = ""', 2, "is empty", "value"),
    "other's home": (BIND + 'path = "~bob/x"', 2, "another's home", "in full"),
    "long name": (BIND + f'path = "/{"a" * 256}"', 2, "more than 255 bytes", "shorten"),
    "long path": (BIND + f'path = "{"/abcdefgh" * 500}"', 2, "4500 bytes long", "4096"),
    "duplicate": (BIND + 'path = "/a/b"\n' + BIND + 'path = "/a//b/"', 4,
                  '"/a/b" is there twice (first at line 2)', "keep one"),
    "duplicate dst": (BIND + 'path="/a"\n' + BIND + 'path="/b"\ndst="/a"', 4,
                      'fs.bind[1].dst "/a" is there twice', "keep one"),
    "relative dst": (BIND + 'path="/b"\ndst="a"', 2, 'fs.bind[0].dst "a" is relative', "absolute"),
    "proc": (BIND + 'path = "/proc/sys"', 2, "is the kernel's", "/proc of its own"),
    "unset variable": (BIND + 'path = "$NOPE/x"', 2, "uses $NOPE, which is not set", "set NOPE"),
    "unset in braces": (BIND + 'path = "/${NOPE}"', 2, "uses $NOPE", "set NOPE"),
    "open brace": (BIND + 'path = "/${x-y}"', 2, "has a ${ that begins no variable", "${NAME}"),
    "home mode": ('[fs]\nhome = "privat"', 2, '"privat" is none of', '"private"?'),
    "machine id": ('[fs]\nmachine_id = "xyz"', 2, "is no machine-id", "32 hex"),
    "empty cmd": ("[run]\ncmd = []", 2, "run.cmd names no program", "program"),
    "cmd of numbers": ("[run]\ncmd = [1]", 2, "an integer among its words", "quotes"),
    "cmd quotes": ('[run]\ncmd = "a \'b"', 2, "error in its quotes", "word"),
    "env no table": ('[run]\nenv = ["A=1"]', 2, "run.env is an array, not a table", "NAME"),
    "env integer": ("[run.env]\nA = 1", 1, '"A" is an integer', "quotes"),
    "env name": ('[run]\nenv = { "A=B" = "1" }', 2, '"A=B" cannot name a variable', "letters"),
    "env unset": ('[run.env]\nA = "x"\nB = "$NOPE"', 3, "run.env.B uses $NOPE", "$$"),
    "relative cwd": ('[run]\ncwd = "src"', 2, 'run.cwd "src" is relative', "absolute"),
    "stack": ("[run]\nstack = 5", 2, "too small to start", "64K"),
    "call name": ('[seccomp]\nallow = ["Read!"]', 2, "cannot be a system call", "openat"),
    "calls no array": ('[seccomp]\nallow = "read"', 2, "is a string, not an array", '["read"]'),
    "abi": ('[seccomp]\nabi = ["i368"]', 2, '"i368" is none of', '"i386"?'),
    "no abi": ("[seccomp]\nabi = []", 2, "seccomp.abi is empty", "native"),
    "net mode": ('[net]\nmode = "hots"', 2, "is none of", '"host"?'),
    "ipvlan alone": ('[net]\nmode = "ipvlan"', 2, 'net.mode "ipvlan" needs device', "device ="),
    "device unused": ('[net]\nmode = "loop"\ndevice = "eth0"', 3, "goes not with mode", "take one"),
    "mac unused": ('[net]\nmode="ipvlan"\ndevice="e"\naddress="1.2.3.4"\nmac="aa:bb:cc:dd:ee:ff"',
                   5, "net.mac goes not with mode", "take one"),
    "address": ('[net]\naddress = "300.1.1.1/24"', 2, "is no address", "192.168"),
    "mac": ('[net]\nmac = "aa:bb"', 2, "is no hardware address", "**"),
    "device": ('[net]\ndevice = "a/b"', 2, "cannot name a network device", "ip link"),
    "log": ("[net]\nlog = [1]", 2, "net.log is not two integers", "[100, 5]"),
    "capability": ('[caps]\nkeep = ["CAP_NET_RWA"]', 2, "is no capability", '"CAP_NET_RAW"?'),
    "zero": ("[limits]\nprocesses = 0", 2, "limits.processes is 0", "above 0"),
    "bool for int": ("[limits]\nptys = true", 2, "limits.ptys is a boolean", "above 0"),
    "huge": ("[limits]\nmemory = 99999999999999999999", 2, "too large", "bytes"),
    "size": ('[limits]\nmemory = "5 apples"', 2, "is no size", "512M"),
    "cpu": ("[limits]\ncpu = nan", 2, "limits.cpu is out of range", "0.5"),
    "display": ("[x11]\nenabled = 1", 2, "x11.enabled is an integer", "true or false"),
    "transition": ('[access]\ntransition = "always"', 2, "is none of", ""),
    "pattern": ('[access]\ndeny = ["/a",\n"b"]', 3, 'access.deny "b" is relative', "absolute"),
    "two stars": ('[access]\nask = ["/a/**"]', 2, "has **", "leave it out"),
    "bracket": ('[access]\nask = ["/a/[bc]"]', 2, "has a [", "use ?"),
    "name": ('name = "a/b"', 1, "cannot be a name", "without /"),
    "intersection": ('name = "a∩b"', 1, "cannot be a name", "∩"),
    "description": ('description = "a\\nb"', 1, "has several lines", "one line"),
    "extends": ("extends = 5", 1, "extends is an integer", "["),
    "many extends": ("extends = [" + '"x",' * 65 + "]", 1, "extends names 65 profiles", "fewer"),
    "syntax": ("a = 1\nb 2", 2, "not valid TOML: expected '='", "toml.io"),
    "end": ('a = 1\nb = "', 2, "not valid TOML", "toml.io"),
    "twice": ("[run]\n[run]", 2, "not valid TOML: cannot declare", "toml.io"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "cause", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(
    loads: Callable[[str], s.Profile], ground: Ground, text: str, line: int, cause: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        loads(text)
    error = caught.value
    assert error.place == f"{ground.user}/t.toml:{line}"
    assert cause in error.cause
    assert hint in error.hint
    assert "\n" not in str(error)


def test_strings_of_the_file_are_made_safe(loads: Callable[[str], s.Profile]) -> None:
    with pytest.raises(UsageError) as caught:
        loads('[[fs.bind]]\npath = "\\u001b[2J\\u202e' + "x" * 500 + '"')
    assert str(caught.value).isprintable()
    assert re.search(r'"\\x1b\[2J\\u202ex+…x+" is relative', caught.value.cause)
