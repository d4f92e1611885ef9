"""Profile + request -> plan: what is in it, in which order, and what is refused by name."""

from __future__ import annotations

import dataclasses
import marshal

import pytest

from podsh import operations as o
from podsh import plan as p
from podsh.errors import UsageError
from podsh.kernel import caps
from podsh.profiles.schema import Access, Bind, Fs, Profile, Run, Seccomp, Where

HERE = Where("web.toml", 3)
FACTS = p.Facts(
    name="web",
    uid=1000,
    home="/home/u",
    cwd="/home/u/proj",
    environ=(("PATH", "/usr/bin"), ("SECRET", "x"), ("LC_TIME", "C"), ("TERM", "xterm")),
    state="/home/u/.local/state/podsh/pods/web",
    hide=("/run/podsh",),
    requests=False,
)


def profile(**fields: object) -> Profile:
    base = Profile("web", run=Run(cmd=("true",)))
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


def ops(plan: o.JailPlan, kind: type) -> list:
    return [op for op in plan.ops if isinstance(op, kind)]


def test_plan_survives_the_wire() -> None:
    fs = Fs(bind=(Bind("/usr", HERE),), machine_id="")
    plan = p.make_plan(profile(fs=fs), p.Request(net="loop"), FACTS)
    again = o.JailPlan.from_wire(marshal.loads(marshal.dumps(plan.to_wire())))
    assert again == plan
    assert again.describe() == plan.describe()


def test_parents_come_before_children_whatever_the_order_in_the_file() -> None:
    binds = tuple(Bind(path, HERE) for path in ("/usr/share/x", "/usr", "/usr-a", "/usr/share"))
    plan = p.make_plan(profile(fs=Fs(bind=binds)), p.Request(), FACTS)
    order = [op.src for op in ops(plan, o.Bind) if op.src.startswith("/usr")]
    assert order == ["/usr", "/usr/share", "/usr/share/x", "/usr-a"]


def test_command_line_adds_and_widens() -> None:
    fs = Fs(bind=(Bind("/data", HERE, exec=False),))
    plan = p.make_plan(profile(fs=fs), p.Request(rw=("/data",), ro=("/opt/x",)), FACTS)
    found = {op.src: op for op in ops(plan, o.Bind)}
    assert found["/data"].write
    assert not found["/data"].exec
    assert found["/data"].where == "--rw"
    assert not found["/opt/x"].write


def test_root_bind_is_refused() -> None:
    with pytest.raises(UsageError, match="--rw / is refused"):
        p.make_plan(profile(), p.Request(rw=("/home/..",)), FACTS)


def test_environment_is_a_short_list() -> None:
    plan = p.make_plan(profile(), p.Request(env=(("GIVEN", "1"),)), FACTS)
    assert dict(plan.program.env) == {
        "TERM": "xterm",
        "LC_TIME": "C",
        "PATH": "/usr/bin:/.podsh/bin",
        "HOME": "/home/u",
        "GIVEN": "1",
    }


def test_clear_env_leaves_only_what_is_named() -> None:
    run = Run(cmd=("true",), clear_env=True, env=(("A", "b"),))
    plan = p.make_plan(profile(run=run), p.Request(), FACTS)
    assert plan.program.env == (("A", "b"),)


def test_the_shim_goes_with_requests_only() -> None:
    asking = dataclasses.replace(FACTS, requests=True)
    plan = p.make_plan(profile(), p.Request(), asking)
    env = dict(plan.program.env)
    assert env["LD_PRELOAD"] == "/.podsh/shim.so"
    assert env["ASAN_OPTIONS"] == "verify_asan_link_order=0"
    assert plan.filter.notify
    assert [line for line in plan.describe() if line.startswith("notify ")]
    silent = p.make_plan(profile(), p.Request(), FACTS)
    slow = p.make_plan(profile(access=Access(shim=False)), p.Request(), asking)
    for other in (silent, slow):
        assert not {"LD_PRELOAD", "ASAN_OPTIONS"} & set(dict(other.program.env))
    assert (silent.filter.notify, slow.filter.notify) == (False, True)
    assert not [line for line in silent.describe() if line.startswith("notify ")]


@pytest.mark.parametrize(
    "seccomp",
    [
        Seccomp(allow=("read",)),
        Seccomp(block=("rename",)),
        Seccomp(blacklist=True),
        Seccomp(abi=("native", "i386")),
    ],
)
def test_the_shim_stays_out_of_lists_of_calls(seccomp: Seccomp) -> None:
    asking = dataclasses.replace(FACTS, requests=True)
    plan = p.make_plan(profile(seccomp=seccomp), p.Request(), asking)
    assert "LD_PRELOAD" not in dict(plan.program.env)
    assert plan.filter.notify


def test_what_a_program_preloads_itself_comes_first() -> None:
    asking = dataclasses.replace(FACTS, requests=True)
    run = Run(cmd=("true",), env=(("LD_PRELOAD", "libx.so"), ("ASAN_OPTIONS", "a=1:b=2")))
    env = dict(p.make_plan(profile(run=run), p.Request(), asking).program.env)
    assert env["LD_PRELOAD"] == "libx.so:/.podsh/shim.so"
    assert env["ASAN_OPTIONS"] == "a=1:b=2:verify_asan_link_order=0"


@pytest.mark.parametrize(
    ("keep", "net", "reason"),
    [
        ("CAP_NET_BIND_SERVICE", "host", "the network is the host's"),
        ("CAP_NET_RAW", "host", "the network is the host's"),
        ("CAP_NET_ADMIN", "host", "the network is the host's"),
        ("CAP_SYS_ADMIN", "none", "it mounts"),
    ],
)
def test_capabilities_without_effect_are_refused(keep: str, net: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"{keep}: {reason}.*--net"):
        p.make_plan(profile(caps=(keep,)), p.Request(net=net), FACTS)


def test_addresses_that_were_given_stay() -> None:
    """CAP_NET_ADMIN is for a network of nobody else's."""
    for mode, reason in (("macvlan", "the addresses"), ("user", "the addresses"), ("loop", "")):
        assert reason in caps.refusal("CAP_NET_ADMIN", mode)
        assert caps.refusal("CAP_NET_RAW", mode) == ""
        assert caps.opens_packets(("CAP_NET_RAW",), mode) == (mode == "loop")


def test_capabilities_come_ambient_or_by_files() -> None:
    suid = Fs(bind=(Bind("/usr", HERE, suid=True),))
    for fs, uid, by_files in ((Fs(), 0, False), (suid, 1000, False), (suid, 0, True)):
        facts = dataclasses.replace(FACTS, uid=uid)
        plan = p.make_plan(profile(caps=("CAP_NET_RAW",), fs=fs), p.Request(net="loop"), facts)
        assert plan.inner == o.Inner(("CAP_NET_RAW",), by_files, True)
        assert o.JailPlan.from_wire(marshal.loads(marshal.dumps(plan.to_wire()))) == plan
        # what it owns is made before it is changed
        kinds = [type(op) for op in plan.ops]
        assert kinds.index(o.Inner) < min(map(kinds.index, (o.Hostname, o.Loopback, o.Sysctl)))
        seal, caps_line = ("/ read-only", "uid 0") if by_files else ("no_new_privs", "ambient")
        lines = plan.describe()
        assert any(line.startswith("seal") and line.endswith(seal) for line in lines)
        assert any("CAP_NET_RAW" in line and caps_line in line for line in lines)
        assert "allow    packet sockets, for the capabilities that are kept" in lines
    assert p.make_plan(profile(fs=suid), p.Request(), FACTS).inner is None


def test_no_program_is_an_error_with_its_mend() -> None:
    with pytest.raises(UsageError, match=r"no program to run; give one after --"):
        p.make_plan(profile(run=Run()), p.Request(), FACTS)


def test_homes() -> None:
    private = p.make_plan(profile(), p.Request(), FACTS)
    (home,) = [op for op in ops(private, o.Bind) if op.own]
    assert (home.src, home.dst, home.write) == (f"{FACTS.state}/home", "/home/u", True)
    podhome = p.make_plan(profile(), p.Request(home_mode="podhome"), FACTS)
    assert dict(podhome.program.env)["HOME"] == "/podhome"
    tmp = p.make_plan(profile(), p.Request(home_mode="tmp"), FACTS)
    assert "/home/u" in [op.path for op in ops(tmp, o.Tmpfs)]
    host = p.make_plan(profile(), p.Request(home_mode="host"), FACTS)
    (home,) = [op for op in ops(host, o.Bind) if op.dst == "/home/u"]
    assert (home.src, home.own) == ("/home/u", False)


def test_setid_bits_are_refused_to_root_only() -> None:
    assert not p.make_plan(profile(), p.Request(), FACTS).filter.refuse_setid
    root = dataclasses.replace(FACTS, uid=0)
    assert p.make_plan(profile(), p.Request(), root).filter.refuse_setid


def test_open_files_stay_below_what_podsh_can_bear() -> None:
    few = dataclasses.replace(FACTS, nofile=500)
    limits = dict(
        (n, (s, h)) for n, s, h in p.make_plan(profile(), p.Request(), few).program.rlimits
    )
    assert limits["NOFILE"] == (500, 500)
    assert limits["CORE"] == (1, 1)


@pytest.mark.parametrize(
    ("domain", "host"),
    [("web", "web"), ("a∩b", "a-n-b"), ("\x1b[2J", "2J"), ("…", "pod"), ("x" * 90, "x" * 64)],
)
def test_hostname_is_safe(domain: str, host: str) -> None:
    assert p.hostname(domain) == host


def test_the_lists_of_calls_reach_the_filter_as_they_are() -> None:
    seccomp = Seccomp(allow=("stat64", "read"), block=("kill",), strict=True, abi=("native", "x32"))
    made = p.make_plan(profile(seccomp=seccomp), p.Request(), FACTS)
    assert (made.filter.allow, made.filter.block) == (("stat64", "read"), ("kill",))
    assert (made.filter.strict, made.filter.abi) == (True, ("x32",))
    assert "calls    2 allowed, others killed  [web]" in made.describe()
    everything = p.make_plan(profile(seccomp=Seccomp(allow=())), p.Request(trace=True), FACTS)
    assert (everything.filter.allow, everything.filter.trace) == (None, True)


def test_var_tmp_is_tmp_unless_something_is_shown_below_it() -> None:
    links = ops(p.make_plan(profile(), p.Request(), FACTS), o.Link)
    assert o.Link("/tmp", "/var/tmp") in links
    for request, facts in (
        (p.Request(ro=("/var/tmp/x",)), FACTS),
        (p.Request(), dataclasses.replace(FACTS, home="/var/tmp/home")),
    ):
        plan = p.make_plan(profile(), request, facts)
        assert o.Link("/tmp", "/var/tmp") not in ops(plan, o.Link)
        assert "/var/tmp" in [op.path for op in ops(plan, o.Tmpfs)]
