"""kage in a pod: what a program may ask for by name, and what a pod that is not confined may do."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers.runner import Done, Podsh


@pytest.fixture
def free(podsh: Podsh) -> Iterator[str]:
    """The name of a profile that is not confined."""
    path = podsh.profile("free", 'extends = ["base"]\nname = "free"\n[access]\nconfined = false\n')
    yield "free"
    path.unlink()


def sh(podsh: Podsh, script: str, *options: str, profile: str = "base") -> Done:
    return podsh.pod("sh", "-c", script, options=("-p", profile, *options))


def test_it_is_there_in_every_pod_and_last_on_the_path(podsh: Podsh) -> None:
    done = sh(podsh, "command -v kage; echo $PATH; kage help", "--env", "PATH=/usr/bin:/bin")
    assert done.code == 0
    where, path, usage, *_ = done.out.splitlines()
    assert where == "/.podsh/bin/kage"
    assert path == "/usr/bin:/bin:/.podsh/bin"
    assert usage.startswith("usage: kage shim")
    assert "kage     /.podsh/bin/kage ro" in podsh.run("run", "--dry-run", "--", "true").out


def test_its_files_cannot_be_changed(podsh: Podsh) -> None:
    tries = [
        f"{change} 2>/dev/null && echo changed {path}"
        for path in ("/.podsh/bin/kage", "/.podsh/kage.sock", "/.podsh/bin")
        for change in (f"chmod 777 {path}", f"mv {path} /tmp", f"rm -rf {path}", f"ln {path} /x")
    ]
    done = sh(podsh, "\n".join([*tries, "kage info"]))
    assert done.out == "base\n"


@pytest.mark.parametrize("options", [(), ("--net", "host")])
def test_info_says_the_own_domain_and_no_more(podsh: Podsh, options: tuple[str, ...]) -> None:
    assert sh(podsh, "kage info", *options) == (0, "base\n", "")


def test_info_of_another_domain(podsh: Podsh, free: str) -> None:
    assert sh(podsh, "kage info", profile=free) == (0, "free\n", "")


def test_in_a_live_pod(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-p", "base", "-n", "web", "--", "sleep", "1000")
    podsh.wait_state("web", "running")
    done = podsh.run("exec", "web", "--", "kage", "info")
    assert (done.code, done.out) == (0, "base\n")
    podsh.run("kill", "-s", "KILL", "web")
    podsh.wait_state("web", "exited")


def test_what_is_hidden_from_every_pod_is_not_to_be_had(podsh: Podsh) -> None:
    done = sh(podsh, "kage shim -a /etc/shadow; echo $?; kage shim -w --access ~/.ssh; echo $?")
    assert done.out == "1\n1\n"
    assert "kage: not allowed: /etc/shadow\n" in done.err


def test_a_confined_pod_neither_lists_nor_mounts(podsh: Podsh) -> None:
    podsh.file(podsh.directory("secret") / "name-of-a-file", "")
    secret = podsh.base / "secret"
    mount = f"kage mount -p -s {secret} -d /s"
    done = sh(podsh, f"kage shim -l {secret}; echo $?; {mount}; echo $?; ls /s")
    assert done.out == "1\n1\n"
    assert done.err.count("kage: not allowed: this pod is confined\n") == 2
    assert "name-of-a-file" not in done.err


def test_a_pod_that_is_not_confined_lists_the_host(podsh: Podsh, free: str) -> None:
    folder = podsh.directory("listed")
    for name in ("one", "two\nlines", "\x1b[31mred"):
        podsh.file(folder / name, "")
    podsh.directory("home/.ssh")
    script = (
        f"kage shim --list {folder}; echo $?; cd /; kage shim -l .{folder}/../listed | wc -l;"
        f"kage shim -l {podsh.home}/.ssh; echo $?; kage shim -l {podsh.state}/podsh; echo $?;"
        "kage shim -l /proc; echo $?; kage shim -l /no/such; echo $?"
    )
    done = sh(podsh, script, profile=free)
    assert done.out == "\\x1b[31mred\none\ntwo\\x0alines\n0\n3\n2\n2\n2\n2\n"
    assert done.err.count("hidden from every pod") == 2


def test_a_pod_that_is_not_confined_mounts(podsh: Podsh, free: str) -> None:
    folder = podsh.directory("given")
    podsh.file(folder / "f", "content\n")
    script = (
        f"kage mount -p -s {folder} -d /data && cat /data/f; echo new > /data/f;"
        f"kage mount -p -w -s {folder} -d /rw && echo new > /rw/f; cat /data/f;"
        f"kage mount --source /data --destination /again && cat /again/f;"
        "cp /data/f /tmp/own; kage mount -s /tmp -d /t; echo $?; kage mount -s ~ -d /t; echo $?;"
        f"kage mount -ps {podsh.state}/podsh -d /t; echo $?; kage mount -ps / -d /t; echo $?;"
        f"kage mount -ps /usr -d /.podsh/bin; echo $?; kage mount -ps /usr -d /; echo $?; ls /t"
    )
    done = sh(podsh, script, profile=free)
    assert done.out == "content\nnew\nnew\n" + "2\n" * 6
    assert "Read-only file system" in done.err
    assert done.err.count("is the pod's own, not of the host") == 2
    assert "this is podsh's own, never granted" in done.err
    assert (folder / "f").read_text() == "new\n"


def test_the_old_words_for_run(podsh: Podsh) -> None:
    done = podsh.run("kage", "run", "-t", "-p", "base", "--", "kage", "info")
    assert (done.code, done.out) == (0, "base\n")
    assert podsh.run("kage", "run", "--", "sh", "-c", "exit 7").code == 7


def test_no_pod_binds_over_it(podsh: Podsh) -> None:
    text = 'extends = ["base"]\nname = "over"\n[[fs.bind]]\npath = "/usr"\ndst = "/.podsh/bin"\n'
    path = podsh.profile("over", text)
    done = podsh.pod("true", options=("-p", "over"))
    path.unlink()
    assert done.code == 2
    assert "/.podsh is podsh's own in every pod" in done.err


@pytest.mark.parametrize("write", [False, True])
def test_access_is_asked_for_as_if_the_file_had_been_opened(podsh: Podsh, write: bool) -> None:
    """Held until a person decides; what is granted once is for who has called kage."""
    path = podsh.file(podsh.directory("wanted") / f"file-{write}", "content\n")
    podsh.run("run", "-d", "--ask", "hold", "-p", "base", "-n", "web", "--", "sleep", "1000")
    podsh.wait_state("web", "running")
    mode = "-wa" if write else "-a"
    for answer, then in (("deny", "exit 3"), ("allow", f"cat {path}; exit 3")):
        script = f"kage shim {mode} {path}; echo $?; {then}"
        asking = podsh.start("exec", "web", "--", "sh", "-c", script)
        request = waiting(podsh)
        assert request["mode"] == ("write" if write else "read")
        assert request["path"] == str(path)
        assert request["argv"][0] == "sh"
        decided = podsh.run(answer, str(request["id"]))
        assert decided.code == 0, decided.err
        out, err = asking.communicate(timeout=20)
        assert asking.returncode == 3
        if answer == "deny":
            assert out == b"1\n"
            assert f"kage: not allowed: {path}\n".encode() in err
        else:
            assert out == b"0\ncontent\n", err
    # what a pod has is not asked for, what is nowhere cannot be had
    script = "kage shim -a /usr/bin; kage shim -wa /tmp; echo $?; kage shim -a /no/such; echo $?"
    assert podsh.run("exec", "web", "--", "sh", "-c", script).out == "0\n1\n"
    podsh.run("kill", "-s", "KILL", "web")
    podsh.wait_state("web", "exited")


def test_who_goes_away_asks_no_longer(podsh: Podsh) -> None:
    path = podsh.file(podsh.directory("wanted") / "file", "content\n")
    podsh.run("run", "-d", "--ask", "hold", "-p", "base", "-n", "web", "--", "sleep", "1000")
    podsh.wait_state("web", "running")
    done = podsh.run("exec", "web", "--", "timeout", "1", "kage", "shim", "-a", str(path))
    assert done.code == 124
    end = time.monotonic() + 10
    while podsh.run("requests", "--json").out:
        assert time.monotonic() < end
        time.sleep(0.1)
    podsh.run("kill", "-s", "KILL", "web")
    podsh.wait_state("web", "exited")


def waiting(podsh: Podsh) -> dict[str, Any]:
    """The one request that waits."""
    end = time.monotonic() + 10
    while not (out := podsh.run("requests", "--json").out):
        assert time.monotonic() < end, "nothing is asked for"
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(out.splitlines()[0])
    return found
