"""``mount`` and ``revoke``: a live pod is given more, and it is taken away again."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.runner import Done, Podsh


@pytest.fixture
def pod(podsh: Podsh) -> Iterator[Podsh]:
    """podsh with a pod called ``web`` that lives for the test."""
    podsh.run("run", "-d", "-n", "web", "--", "sleep", "1000")
    podsh.wait_state("web", "running")
    yield podsh
    podsh.run("kill", "-s", "KILL", "web")
    podsh.wait_state("web", "exited")


def inside(podsh: Podsh, script: str) -> Done:
    return podsh.run("exec", "web", "--", "sh", "-c", script)


@pytest.fixture
def data(podsh: Podsh) -> Path:
    path = podsh.directory(f"data-{len(os.listdir(podsh.base))}/sub")
    podsh.file(path / "f", "content\n")
    return path.parent


def test_a_directory_appears_read_only_and_goes_again(pod: Podsh, data: Path) -> None:
    assert inside(pod, f"cat {data}/sub/f").code != 0
    assert pod.run("mount", "web", str(data)).code == 0
    done = inside(pod, f"cat {data}/sub/f; echo x > {data}/sub/f")
    assert done.out == "content\n"
    assert "Read-only file system" in done.err
    assert pod.run("revoke", "web", str(data)).code == 0
    assert inside(pod, f"cat {data}/sub/f").code != 0


def test_writable_and_elsewhere(pod: Podsh, data: Path) -> None:
    assert pod.run("mount", "web", "-w", str(data), "/given/here").code == 0
    assert inside(pod, "echo new > /given/here/sub/f").code == 0
    assert (data / "sub/f").read_text() == "new\n"
    assert inside(pod, f"ls {data}").code != 0
    assert pod.run("revoke", "web", "/given/here").code == 0
    assert inside(pod, "ls -A /given/here").out == ""


def test_from_read_only_to_writable_over_it_and_back(pod: Podsh, data: Path) -> None:
    pod.run("mount", "web", str(data))
    pod.run("mount", "web", "-w", str(data / "sub"))
    assert inside(pod, f"echo new > {data}/sub/f").code == 0
    assert inside(pod, f"touch {data}/g").code != 0
    pod.run("revoke", "web", str(data / "sub"))
    assert inside(pod, f"echo more > {data}/sub/f").code != 0
    assert inside(pod, f"cat {data}/sub/f").out == "new\n"


def test_a_single_file(pod: Podsh, data: Path) -> None:
    assert pod.run("mount", "web", str(data / "sub/f")).code == 0
    assert inside(pod, f"cat {data}/sub/f").out == "content\n"
    # what is only on the way is not listed as if it were all there is: that is asked for
    done = inside(pod, f"ls {data}/sub")
    assert (done.out, "Permission denied" in done.err) == ("", True)


def test_links_are_followed_once_and_the_object_is_mounted(pod: Podsh, data: Path) -> None:
    (data / "link").symlink_to("sub")
    assert pod.run("mount", "web", str(data / "link"), "/given/link").code == 0
    (data / "link").unlink()
    (data / "link").symlink_to("/etc")
    assert inside(pod, "ls /given/link").out == "f\n"


def test_hidden_paths_stay_hidden_below_a_grant(pod: Podsh) -> None:
    given = pod.directory("home/.config/app").parents[1]
    for name in (".ssh", ".config/gh"):
        pod.directory(f"home/{name}")
    pod.file(given / ".ssh/id", "secret\n")
    pod.file(given / ".config/gh/hosts.yml", "secret\n")
    pod.file(given / ".config/app/conf", "plain\n")
    assert pod.run("mount", "web", "-w", str(given), "/given/home").code == 0
    script = (
        "cd /given/home; cat .config/app/conf; cat .ssh/id .config/gh/hosts.yml; ls .ssh;"
        'python3 -c \'import os; os.rename(".config", "c")\'; cat c/gh/hosts.yml'
    )
    done = inside(pod, script)
    assert done.out == "plain\n"
    assert done.err.count("Permission denied") == 3, done.err
    assert "busy" in done.err
    assert (given / ".config/gh/hosts.yml").read_text() == "secret\n"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/", "never granted"),
        ("/proc/self", "never granted"),
        ("/sys/kernel", "never granted"),
        ("/dev/null", "only files and directories"),
        ("/no/such/place", "no such file"),
        ("{home}/.ssh", "denies"),
        ("{state}", "podsh's own"),
        ("{socket}", "only files and directories"),
    ],
)
def test_what_is_never_granted(pod: Podsh, path: str, reason: str) -> None:
    pod.directory("home/.ssh")
    listening = str(pod.directory("socks") / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        if not os.path.exists(listening):
            listener.bind(listening)
        path = path.format(home=pod.home, state=pod.state / "podsh", socket=listening)
        done = pod.run("mount", "web", path)
    assert done.code == 2
    assert reason in done.err, done.err


def test_what_is_taken_back_while_it_is_covered_does_not_show_again(pod: Podsh, data: Path) -> None:
    pod.file(data / "g", "other\n")
    for path in (data / "sub/f", data / "g"):
        assert pod.run("mount", "web", str(path), "/there").code == 0
    assert pod.run("revoke", "web", str(data / "sub/f")).code == 0
    assert inside(pod, "cat /there").out == "other\n"
    assert pod.run("revoke", "web", "/there").code == 0
    assert inside(pod, "cat /there").code != 0
    # below two that cover it
    top = pod.directory(f"{data.name}-over/sub")
    for _ in range(2):
        assert pod.run("mount", "web", str(data / "sub"), "/top/sub").code == 0
        assert pod.run("mount", "web", str(top.parent), "/top").code == 0
    assert inside(pod, "cat /top/sub/f").out == "content\n"
    for path in ("/top/sub", "/top/sub", "/top", "/top"):
        assert pod.run("revoke", "web", path).code == 0
        done = inside(pod, "cat /top/sub/f")
        if path == "/top":
            assert done.code != 0
    assert "given: nothing" in pod.run("revoke", "web", "/top").err


def test_a_request_that_waits_is_settled_by_a_mount(pod: Podsh, data: Path) -> None:
    script = f"cat {data}/sub/f; sleep 100"
    pod.run("run", "-d", "-n", "asks", "--ask", "hold", "--", "sh", "-c", script)
    assert pod.run("wait", "asks", "request", "-t", "20").code == 0
    assert pod.run("mount", "asks", str(data)).code == 0
    end = time.monotonic() + 20
    while pod.run("logs", "asks").out.split() != ["content"]:
        assert time.monotonic() < end, pod.run("logs", "asks")
        time.sleep(0.05)
    assert not pod.run("requests", "--json").out
    assert next(row["waiting"] for row in pod.ps() if row["name"] == "asks") == 0
    pod.run("kill", "-s", "KILL", "asks")
    pod.wait_state("asks", "exited")


def test_only_what_was_given_is_taken(pod: Podsh) -> None:
    done = pod.run("revoke", "web", "/usr")
    assert done.code == 2
    assert "was not given to the pod (given: nothing)" in done.err


def test_events_say_it(pod: Podsh, data: Path) -> None:
    pod.run("mount", "web", "-w", str(data))
    pod.run("revoke", "web", str(data))
    kinds = [json.loads(line) for line in pod.run("events", "web", "--json").out.splitlines()]
    grants = [(e["ev"], e["path"]) for e in kinds if e["ev"] in ("grant", "revoke")]
    assert grants[-2:] == [("grant", str(data)), ("revoke", str(data))]


def test_a_profile_made_from_the_pod_has_it(pod: Podsh, data: Path) -> None:
    pod.run("mount", "web", "-w", str(data))
    assert pod.run("profile", "new", "made", "--from", "web").code == 0
    text = (pod.config / "podsh/profiles/made.toml").read_text()
    assert str(data) in text
    (pod.config / "podsh/profiles/made.toml").unlink()


def test_an_ended_pod_is_given_nothing(podsh: Podsh, data: Path) -> None:
    podsh.run("run", "-n", "over", "--", "true")
    done = podsh.run("mount", "over", str(data))
    assert done.code == 2
    assert "has ended" in done.err
