"""Which display is the current one, and what of it a plan gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from podsh.errors import UsageError
from podsh.kernel import installed
from podsh.plan import Facts, Request, make_plan
from podsh.portal import displays
from podsh.portal.xauthority import cookie
from podsh.profiles import schema

if TYPE_CHECKING:
    from podsh.operations import JailPlan


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (":0", ("", 0, "")),
        (":12.3", ("", 12, "3")),
        ("unix:1", ("", 1, "")),
        ("unix/host:1", ("", 1, "")),
        ("host/unix:1", None),
        ("local/:1", ("", 1, "")),
        ("localhost:10.0", ("localhost", 10, "0")),
        ("tcp/:1", ("localhost", 1, "")),
        ("tcp/host:1", ("host", 1, "")),
        ("::1:2", ("::1", 2, "")),
        ("[::1]:2", ("[::1]", 2, "")),
        ("", None),
        ("0", None),
        (":", None),
        (":x", None),
        (":0.", None),
        (":000000", None),
        ("/tmp/launch/org.xquartz:0", None),
        (":0\n", None),
    ],
)
def test_names(name: str, found: tuple[str, int, str] | None) -> None:
    if found is None:
        with pytest.raises(UsageError):
            displays.parse(name)
    else:
        assert displays.parse(name) == found


@pytest.mark.parametrize(
    ("x11", "message", "found"),
    [
        ({}, {}, (False, False, False)),
        ({}, {"x11": ""}, (True, False, False)),
        ({}, {"x11": "nested"}, (True, True, False)),
        ({}, {"wayland": True}, (False, False, True)),
        ({"enabled": True}, {}, (True, False, False)),
        ({"enabled": True}, {"x11": "nested"}, (True, True, False)),
        ({"nested": True}, {}, (True, True, False)),
        # whom the profile keeps apart stays so
        ({"nested": True}, {"x11": ""}, (True, True, False)),
    ],
)
def test_wanted(x11: dict[str, bool], message: dict[str, Any], found: tuple[bool, ...]) -> None:
    profile = schema.Profile("p", x11=schema.Display(**x11))
    assert displays.wanted(profile, message) == found


def test_no_nested_wayland() -> None:
    profile = schema.Profile("p", wayland=schema.Display(nested=True), source="p.toml")
    with pytest.raises(UsageError, match=r"p\.toml.*nested"):
        displays.wanted(profile, {})


def test_listening_abstract(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said where no scope keeps pods from it."""
    import socket

    name = "/tmp/.X11-unix/X59999"
    monkeypatch.setattr(displays.landlock, "has_scopes", lambda: False)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        assert displays.listening_abstract() != name
        server.listen()
        assert displays.listening_abstract().startswith("/tmp/.X11-unix/X")
        monkeypatch.setattr(displays.landlock, "has_scopes", lambda: True)
        assert displays.listening_abstract() == ""


HERE = displays.Display("", 0, "")


@pytest.mark.parametrize(
    ("there", "display", "program", "number"),
    [
        (("Xephyr", "Xvfb"), HERE, "Xephyr", 1),
        (("Xephyr", "Xvfb"), HERE._replace(number=3), "Xephyr", 0),
        (("Xephyr", "Xvfb"), None, "Xvfb", 0),
        (("Xvfb",), HERE, "Xvfb", 1),
        (("Xephyr",), None, "", 0),
        ((), HERE, "", 0),
    ],
)
def test_which_server(
    there: tuple[str, ...],
    display: displays.Display | None,
    program: str,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {name: f"/usr/bin/{name}" for name in there}
    monkeypatch.setattr(installed, "find", found.get)
    wants = displays.Wanted(True, True, False)
    monkeypatch.setattr(displays, "_check", lambda *_: None)
    ctx = schema.Context("/home/u", "/", (("DISPLAY", str(display or "")),))
    if not program:
        with pytest.raises(UsageError, match="xserver-xephyr"):
            displays.look(wants, ctx, {})
        return
    nested = displays.look(wants, ctx, {}).nested
    assert nested is not None
    assert (nested.program, nested.number) == (f"/usr/bin/{program}", number)
    assert len(nested.cookie.data) == 16


def test_what_doctor_says_of_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find", lambda name: "/x" if name == "Xvfb" else None)
    (found,) = installed.findings()
    assert (found.ok, found.have) == (None, "Xvfb")
    assert found.mend == "sudo apt-get install xserver-xephyr"


def planned(net: str, home_mode: str = "private", ro: tuple[str, ...] = ()) -> JailPlan:
    profile = schema.Profile("p", net=schema.Net(mode="none"))
    request = Request(argv=("x",), net=net, home_mode=home_mode, ro=ro)
    return make_plan(profile, request, Facts("p", 1000, "/home/u", "/", (), "/state"))


def test_what_a_plan_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket, the one cookie, the variables; and a warning where nothing else can be done."""
    entry = cookie(0, bytes(16))
    monkeypatch.setattr(displays, "listening_abstract", lambda: "/tmp/.X11-unix/X0")
    for net, notes in (("none", 0), ("host", 1)):
        plan = displays.settled(planned(net), displays.Found(HERE, entry), "/state")
        assert len(plan.notes) == notes
        env = dict(plan.program.env)
        assert (env["DISPLAY"], env["XAUTHORITY"]) == (":0", "/home/u/.Xauthority")
        *_, socket, file = plan.ops
        assert str(socket).startswith("socket   /tmp/.X11-unix/X0 may be connected to")
        assert str(file) == "file     /home/u/.Xauthority mode 0600, 45 bytes"
        assert plan.twins() == {"/tmp/.X11-unix/X0"}
    # no cookie is no reason not to try
    plan = displays.settled(planned("none"), displays.Found(HERE), "/state")
    assert "no cookie was found for display :0" in plan.notes[0]


@pytest.mark.parametrize(
    ("home_mode", "ro", "path"),
    [
        ("private", (), "/home/u/.Xauthority"),
        ("tmp", (), "/home/u/.Xauthority"),
        ("podhome", (), "/podhome/.Xauthority"),
        ("host", (), "/.podsh/Xauthority"),
        ("private", ("/home",), "/.podsh/Xauthority"),
    ],
)
def test_where_the_cookie_lies(home_mode: str, ro: tuple[str, ...], path: str) -> None:
    plan = planned("none", home_mode, ro)
    assert displays.authority_file(plan, []).path == path


def test_no_room_for_a_socket() -> None:
    nested = displays.Nested("/usr/bin/Xvfb", 0, cookie(0, bytes(16)))
    found = displays.Found(nested=nested)
    plan = displays.settled(planned("none"), found, "/state")
    assert any(str(op).startswith("socket   /state/x11/X0 -> /tmp/.X11-unix/X0") for op in plan.ops)
    with pytest.raises(UsageError, match="the host's /tmp"):
        displays.settled(planned("none", ro=("/tmp",)), found, "/state")


def test_over_the_network() -> None:
    """By the network that the display is on."""
    near, far = displays.parse("localhost:10.0"), displays.parse("far:0")
    for net, reached in (("none", ()), ("user", (far,)), ("host", (near, far))):
        for display in (near, far):
            found = displays.Found(display, cookie(display.number, bytes(16)))
            if display in reached:
                plan = displays.settled(planned(net), found, "/state")
                assert dict(plan.program.env)["DISPLAY"] == str(display)
                assert plan.twins() == frozenset()
            else:
                with pytest.raises(UsageError, match="--net host"):
                    displays.settled(planned(net), found, "/state")
