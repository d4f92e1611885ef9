"""Domains as a person meets them: pods that begin in an intersection and follow what they touch."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_life import portal_pid, row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.helpers.runner import Podsh

CLIENTS = ("Company", "OpenBar", "Paranoid")


@pytest.fixture
def podsh(make_podsh: Callable[[], Podsh]) -> Podsh:
    """Three profiles of three clients' directories, with what all of them need in ``base``."""
    podsh = make_podsh()
    for name in CLIENTS:
        client(podsh, name)
    return podsh


def client(podsh: Podsh, name: str, access: str = "", more: str = "") -> Path:
    path = podsh.directory(f"home/clients/{name}")
    podsh.file(path / "file", f"of {name}\n")
    bind = f'[[fs.bind]]\npath = "~/clients/{name}"\nwrite = true\n'
    podsh.profile(name, f'extends = "base"\n{bind}{more}[access]\n{access}')
    return path


def events(podsh: Podsh, pod: str, kind: str) -> list[dict[str, Any]]:
    lines = podsh.run("events", pod, "--json").out.splitlines()
    return [event for event in map(json.loads, lines) if event["ev"] == kind]


def outcome(podsh: Podsh, *argv: str, **options: Any) -> list[str]:
    done = podsh.pod(*argv, options=("-n", "s"), **options)
    return [*done.out.splitlines(), *done.err.splitlines()]


def wait_for(found: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_shell_begins_in_the_intersection_and_becomes_whose_files_it_touches(
    podsh: Podsh,
) -> None:
    script = """
        hostname; ls -A ~
        cat ~/clients/Company/file; hostname
        ls ~/clients; echo new > ~/clients/Company/new
        cat ~/clients/OpenBar/file; cat ~/clients/Paranoid/file; ls ~/clients; hostname
    """
    done = podsh.run("run", "-n", "s", "--", "bash", "-c", script)
    assert done.out.splitlines() == [
        "Company-n-OpenBar-n-Paranoid",
        "of Company",
        "Company",
        "Company",
        "Company",
        "Company",
    ]
    home = podsh.home / "clients"
    for name in ("OpenBar", "Paranoid"):
        assert f"{home}/{name}/file: No such file or directory" in done.err
    assert (home / "Company" / "new").read_text() == "new\n"
    (moved,) = events(podsh, "s", "transition")
    assert (moved["old"], moved["new"]) == ("Company∩OpenBar∩Paranoid", "Company")
    assert moved["path"] == f"{home}/Company/file"
    assert moved["add"] == [{"path": f"{home}/Company", "mode": "write"}]
    assert events(podsh, "s", "request") == []
    assert row(podsh, "s")["domain"] == "Company"
    assert "Company∩OpenBar∩Paranoid -> Company" in podsh.run("events").out


@pytest.mark.parametrize(
    "argv",
    [
        ["busybox", "cat", "FILE"],
        ["python3", "-c", "print(open('FILE').read(), end='')"],
        ["sh", "-c", "cd ~/clients/OpenBar && cat file"],
        ["sh", "-c", "echo x >> FILE; tail -n 2 FILE | head -n 1"],
    ],
    ids=lambda argv: argv[0],
)
def test_whatever_the_program_and_the_call(podsh: Podsh, argv: list[str]) -> None:
    file = str(podsh.home / "clients" / "OpenBar" / "file")
    assert outcome(podsh, *[word.replace("FILE", file) for word in argv]) == ["of OpenBar"]


def test_a_program_that_one_domain_may_read_begins_there(podsh: Podsh) -> None:
    tool = podsh.home / "clients" / "Paranoid" / "tool"
    podsh.file(tool, "#!/bin/sh\nhostname; cat ~/clients/Paranoid/file ~/clients/Company/file\n")
    tool.chmod(0o755)
    found = outcome(podsh, str(tool))
    assert found[:2] == ["Paranoid", "of Paranoid"]
    assert found[2].endswith("clients/Company/file: No such file or directory")


def test_what_a_domain_denies_stays_hidden_when_the_pod_becomes_it(podsh: Podsh) -> None:
    path = client(podsh, "Company", 'deny = ["~/clients/Company/secret*"]\n')
    podsh.file(path / "secret.txt", "hidden\n")
    found = outcome(podsh, "sh", "-c", f"cat {path}/file; cat {path}/secret.txt; hostname")
    assert found[:2] == ["of Company", "Company"]
    assert "hidden" not in found


def test_what_only_a_domain_left_behind_denies_is_seen_by_the_call_that_leaves_it(
    podsh: Podsh,
) -> None:
    shared = podsh.directory("home/shared")
    podsh.file(shared / "secret", "hidden\n")
    bind = '[[fs.bind]]\npath = "~/shared"\n'
    client(podsh, "Company", 'deny = ["~/shared/secret"]\n', bind)
    for name in CLIENTS[1:]:
        client(podsh, name, more=bind)
    found = outcome(podsh, "sh", "-c", f"cat {shared}/secret; hostname")
    assert found == ["hidden", "OpenBar-n-Paranoid"]
    script = f"cat {podsh.home}/clients/Company/file; cat {shared}/secret; hostname"
    assert outcome(podsh, "sh", "-c", script)[:2] == ["of Company", "Company"]


def test_a_domain_that_asks_is_not_entered_while_nobody_is_there(podsh: Podsh) -> None:
    path = client(podsh, "Company", 'transition = "ask"\n')
    found = outcome(podsh, "sh", "-c", f"cat {path}/file; hostname")
    assert found[0] == "Company-n-OpenBar-n-Paranoid"
    assert found[1].endswith("No such file or directory")


def test_of_two_moves_that_are_asked_for_one_excludes_the_other(podsh: Podsh) -> None:
    """The other one is asked for anew, by what it would be now."""
    paths = [
        client(podsh, name, 'transition = "ask"\n') / "file" for name in ("Company", "OpenBar")
    ]
    script = f"for i in {paths[0]} {paths[1]}; do cat $i & done; wait; hostname; sleep 100"
    podsh.run("run", "-d", "-n", "two", "--ask", "hold", "--", "sh", "-c", script)
    wait_for(lambda: row(podsh, "two")["waiting"] == 2)
    asked = {
        r["path"]: r for r in map(json.loads, podsh.run("requests", "--json").out.splitlines())
    }
    first, second = (asked[str(path)] for path in paths)
    assert (first["to"], second["to"]) == ("Company", "OpenBar")
    assert podsh.run("allow", str(first["id"])).code == 0
    wait_for(lambda: "of Company" in podsh.run("logs", "two").out)
    (moved,) = events(podsh, "two", "transition")
    assert moved["new"] == "Company"
    again = podsh.run("allow", str(second["id"]))
    assert again.code != 0
    assert "is gone" in again.err
    (anew,) = map(json.loads, podsh.run("requests", "--json").out.splitlines())
    assert (anew["path"], anew["to"]) == (str(paths[1]), "")
    assert podsh.run("deny", str(anew["id"])).code == 0
    wait_for(lambda: "Company" in podsh.run("logs", "two").out.splitlines()[-1])
    said = podsh.run("logs", "two").out
    assert "of OpenBar" not in said
    assert "No such file" in said
    podsh.run("kill", "-s", "KILL", "two")
    podsh.wait_state("two", "exited")


def test_by_profile_a_pod_becomes_what_contains_it_if_its_profile_lets_it(podsh: Podsh) -> None:
    bind = '[[fs.bind]]\npath = "~/clients"\n'
    podsh.profile("all", f'extends = "base"\n{bind}write = true\n')
    for access, after in (('transition = "auto"\n', "all"), ("", "Company")):
        client(podsh, "Company", access)
        script = "hostname; cat ~/clients/OpenBar/file; hostname"
        done = podsh.run("run", "--rm", "-p", "Company", "--", "sh", "-c", script)
        words = done.out.split()
        assert (words[0], words[-1]) == ("Company", after)
        assert ("of OpenBar" in done.out) == (after == "all")


def test_nothing_but_files_is_taken_over_from_a_domain(podsh: Podsh) -> None:
    more = '[run]\nenv = { FROM = "Company" }\n[net]\nmode = "host"\n[fs]\nhome = "host"\n'
    more = more.replace('[fs]\nhome = "host"\n', "")
    client(podsh, "Company", more=more)
    podsh.file(podsh.home / "mine", "x\n")
    path = podsh.home / "clients" / "Company" / "file"
    script = f"cat {path}; echo [$FROM]; ls -A ~; ls /sys/class/net 2>/dev/null; cat /proc/net/dev"
    done = podsh.run("run", "--rm", "--", "sh", "-c", script)
    lines = done.out.splitlines()
    assert lines[:3] == ["of Company", "[]", "clients"]
    assert [line.split(":")[0].strip() for line in lines[5:]] == ["lo"]


def test_domains_work_without_a_portal_and_the_next_one_adopts_the_pod(podsh: Podsh) -> None:
    script = """
        while ! [ -e ~/go ]; do sleep 0.05; done
        cat ~/clients/Company/file > ~/out; cat ~/clients/OpenBar/file >> ~/out 2>&1
        hostname >> ~/out; mv ~/out ~/done; sleep 1000
    """
    podsh.run("run", "-d", "-n", "live", "--", "sh", "-c", script)
    home = podsh.state / "podsh" / "pods" / "live" / "home"
    os.kill(portal_pid(podsh), signal.SIGKILL)
    podsh.file(home / "go", "")
    wait_for((home / "done").exists)
    first, second, third = (home / "done").read_text().splitlines()
    assert (first, third) == ("of Company", "Company")
    assert second.endswith("No such file or directory")
    assert row(podsh, "live")["domain"] == "Company"  # by a new portal
    assert podsh.run("exec", "live", "--", "cat", f"{podsh.home}/clients/Company/file").code == 0
    assert podsh.run("tree", "live").out.startswith("live  Company\n")
    podsh.run("kill", "-s", "KILL", "live")
    podsh.wait_state("live", "exited")


def test_why_and_tree_of_a_live_pod(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "live", "--", "sh", "-c", "sleep 1000; true")
    clients = podsh.home / "clients"
    why = podsh.run("why", "live", "~/clients/Company/new", "--write")
    assert why.out.startswith(f"allowed, and the pod moves: write {clients}/Company/new")
    assert f"{podsh.config}/podsh/profiles/Company.toml:3  fs.bind" in why.out
    found = json.loads(podsh.run("why", "live", "~/.ssh/id", "--json").out)
    assert (found["verdict"], found["rule"]["key"], found["exists"]) == (
        "deny", "access.deny", False
    )  # fmt: skip
    assert found["rule"]["file"].endswith("profiles/base.toml")
    found = json.loads(podsh.run("why", "live", "other", "--json").out)
    assert (found["path"], found["verdict"]) == (f"{podsh.home}/other", "ask")
    tree = podsh.run("tree", "live").out
    for name in CLIENTS:
        assert f"│  {name}  by read ~/clients/{name}\n" in tree
    assert 'sh -c "sleep 1000; true"' in tree
    podsh.run("mount", "live", str(podsh.directory("home/given")), "-w")
    podsh.run("exec", "live", "--", "cat", f"{clients}/Paranoid/file")
    tree = podsh.run("tree", "live").out
    assert tree.startswith("live  Paranoid\n├─ may move to\n│  nothing more\n")
    assert "├─ granted\n│  write ~/given\n└─" in tree
    assert podsh.run("why", "live", "given", "-w").out.startswith("allowed: write")
    assert 'label="pod live\\nParanoid' in podsh.run("graph", "live").out
    assert podsh.run("why", "live", str(clients / "Company")).out.startswith("asked: ")
    podsh.run("kill", "-s", "KILL", "live")
    podsh.wait_state("live", "exited")
    assert podsh.run("why", "live", "/x").code == 2


def test_a_profile_of_what_a_pod_became(podsh: Podsh) -> None:
    path = client(
        podsh, "Company", 'deny = ["~/clients/Company/secret"]\n', '[net]\nmode = "host"\n'
    )
    podsh.file(path / "secret", "x\n")
    given = podsh.directory("home/given")
    podsh.run("run", "-d", "-n", "live", "--", "sh", "-c", f"cat {path}/file; sleep 1000")
    wait_for(lambda: row(podsh, "live")["domain"] == "Company")
    podsh.run("mount", "live", str(given), "-w")
    assert podsh.run("profile", "new", "made", "--from", "live").code == 0
    script = f"cat {path}/file; cat {path}/secret; echo x > {given}/x; cat /proc/net/dev"
    done = podsh.run("run", "--rm", "-p", "made", "--", "sh", "-c", script)
    assert done.out.startswith("of Company\n")
    assert "secret: " in done.err
    assert (given / "x").read_text() == "x\n"
    assert [line.split(":")[0].strip() for line in done.out.splitlines()[3:]] == ["lo"]
    podsh.run("kill", "-s", "KILL", "live")
    podsh.wait_state("live", "exited")


def test_the_tree_of_all_domains(podsh: Podsh) -> None:
    done = podsh.run("tree")
    assert "Company∩OpenBar∩Paranoid\n├─ Company  by read ~/clients/Company\n" in done.out
    assert podsh.run("kage", "info", "-d").out == podsh.run("graph").out


def test_what_the_command_line_showed_stays_when_the_pod_moves(podsh: Podsh) -> None:
    given = podsh.directory("home/clients/Company/given")
    bind = '[[fs.bind]]\npath = "~/clients"\n'
    podsh.profile("all", f'extends = "base"\n{bind}')
    script = f"cat {podsh.home}/clients/file; echo x > {given}/x && echo written; hostname"
    podsh.file(podsh.home / "clients" / "file", "of all\n")
    done = podsh.run("run", "--rm", "--rw", str(given), "--", "sh", "-c", script)
    assert done.out.splitlines() == ["of all", "written", "all"]


def test_a_person_at_a_console_is_asked_and_nobody_once_they_leave(podsh: Podsh) -> None:
    podsh.file(podsh.home / "x", "given\n")
    hold = ["sh", "-c", f"cat {podsh.home}/x; echo code $?"]
    with podsh.terminal() as console:
        console.expect("podsh>")
        podsh.run("run", "-d", "-n", "asks", "--", *hold)
        wait_for(lambda: row(podsh, "asks")["waiting"] == 1)
        (request,) = map(json.loads, podsh.run("requests", "--json").out.splitlines())
        assert (request["op"], request["path"]) == ("read", f"{podsh.home}/x")
        assert podsh.run("allow", str(request["id"]), "--if", f"read {podsh.home}/x").code == 0
        podsh.wait_state("asks", "exited")
        assert podsh.run("logs", "asks").out.split() == ["given", "code", "0"]
        podsh.run("run", "-d", "-n", "left", "--", *hold)
        wait_for(lambda: row(podsh, "left")["waiting"] == 1)
        console.send("quit\r")
        console.expect(r"keep, kill or stay\? \[keep\]")
        console.send("\r")
        console.wait()
    podsh.wait_state("left", "exited")
    assert podsh.run("logs", "left").out.splitlines()[-1].split() == ["code", "1"]
    assert podsh.run("allow", str(request["id"] + 1), "--if", f"read {podsh.home}/x").code != 0


def test_a_new_portal_knows_the_requests_that_wait(podsh: Podsh) -> None:
    podsh.file(podsh.home / "x", "given\n")
    argv = ["sh", "-c", f"cat {podsh.home}/x; sleep 1000"]
    podsh.run("run", "-d", "-n", "held", "--ask", "hold", "--", *argv)
    wait_for(lambda: row(podsh, "held")["waiting"] == 1)
    os.kill(portal_pid(podsh), signal.SIGKILL)
    time.sleep(0.2)
    assert row(podsh, "held")["waiting"] == 1
    (request,) = map(json.loads, podsh.run("requests", "--json").out.splitlines())
    assert podsh.run("allow", str(request["id"]), "--pod").code == 0
    wait_for(lambda: "given" in podsh.run("logs", "held").out)
    assert podsh.run("allow", "999999").code == 1
    podsh.run("kill", "-s", "KILL", "held")
    podsh.wait_state("held", "exited")
