"""``podsh run`` from a script: exit codes, the three streams, signals, surroundings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers import processes

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh


def test_podsh_s_own_directory_on_the_path_is_nobody_else_s(podsh: Podsh) -> None:
    """As the README puts it there: python3 is the pod's, not the one that runs podsh."""
    path = f"{podsh.command.parent}:/usr/bin:/bin"
    script = 'echo "$PATH"; command -v podsh; exec python3 -c "import sys; print(sys.executable)"'
    done = podsh.run("run", "-n", "own", "--", "sh", "-c", script, env={"PATH": path})
    assert (done.code, done.err) == (0, "")
    assert done.out.split() == ["/usr/bin:/bin:/.podsh/bin", "/usr/bin/python3"]
    rows = podsh.run("events", "own", "--json").out.splitlines()
    assert [json.loads(row)["ev"] for row in rows] == ["ready", "start", "exit"]


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_exit_code_is_the_programs(podsh: Podsh, script: str, code: int) -> None:
    assert podsh.pod("sh", "-c", script).code == code


def test_what_is_not_there_and_what_cannot_be_executed(podsh: Podsh) -> None:
    missing = podsh.pod("no-such-program")
    assert missing.code == 127
    assert "no-such-program: not found in the pod" in missing.err
    plain = podsh.pod("/etc/passwd")
    assert plain.code == 126
    assert "/etc/passwd" in plain.err


def test_streams_are_apart_and_whole(podsh: Podsh) -> None:
    done = podsh.pod("sh", "-c", "cat; echo to-err >&2", stdin="to-out\n")
    assert (done.out, done.err) == ("to-out\n", "to-err\n")


def test_a_lot_of_output_is_not_cut_at_the_exit(podsh: Podsh) -> None:
    done = podsh.pod("head", "-c", "3000000", "/dev/zero", timeout=60)
    assert len(done.out) == 3_000_000


def test_regular_files_are_relayed_and_the_pod_gets_no_descriptor_of_them(podsh: Podsh) -> None:
    source = podsh.file(podsh.base / "source", "content\n" * 10000)
    target = podsh.file(podsh.base / "target", "")
    script = "cat; readlink /proc/self/fd/0 /proc/self/fd/1 >&2; ls /proc/self/fd >&2"
    with source.open("rb") as stdin, target.open("wb") as stdout:
        process = podsh.start(
            *("run", "--rm", "--", "sh", "-c", script),
            stdin=stdin.fileno(),
            stdout=stdout.fileno(),
        )
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert target.read_bytes() == source.read_bytes()
    links = err.decode().split("\n")
    assert links[0].startswith("pipe:")
    assert links[1].startswith("pipe:")


def test_a_handle_on_a_file_as_stdin_is_refused_with_the_reason(podsh: Podsh) -> None:
    fd = os.open("/etc/passwd", os.O_PATH)
    try:
        done = podsh.pod("true", stdin=fd)
    finally:
        os.close(fd)
    assert done.code in (2, 125)
    assert "O_PATH" in done.err


def test_only_three_descriptors_enter(podsh: Podsh) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    script = "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd')))"
    try:
        done = podsh.pod("python3", "-c", script, pass_fds=(write_end,))
    finally:
        os.close(read_end)
        os.close(write_end)
    # the fourth is the listing itself
    assert done.out.strip() == "[0, 1, 2, 3]"


def test_environment_is_clean_but_for_what_is_named(podsh: Podsh) -> None:
    done = podsh.pod(
        *("env",),
        options=("--env", "GIVEN=1", "--env", "PASSED"),
        env={"SECRET": "s3cret", "PASSED": "on", "LC_ALL": "C"},
    )
    got = dict(line.split("=", 1) for line in done.out.splitlines())
    assert "SECRET" not in got
    assert (got["GIVEN"], got["PASSED"], got["LC_ALL"]) == ("1", "on", "C")
    assert got["HOME"] == str(podsh.home)


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_to_the_client_reach_the_program(podsh: Podsh, signo: signal.Signals) -> None:
    name = signo.name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.1; done"
    process = podsh.start("run", "--rm", "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signo)
    out, _ = process.communicate(timeout=10)
    assert out == f"got {name}\n".encode()
    assert process.returncode == 9


def test_timeout_leaves_nothing_running(podsh: Podsh) -> None:
    done = podsh.outside("timeout", "2", str(podsh.command), "run", "--rm", "--", "sleep", "100")
    assert done.code == 124
    end = time.monotonic() + 5
    while [p for p in processes.below(os.getpid()) if p.name == "sleep" and p.state != "Z"]:
        assert time.monotonic() < end, "sleep still runs"
        time.sleep(0.05)


def test_death_of_the_client_ends_the_pod(podsh: Podsh) -> None:
    process = podsh.start("run", "-n", "victim", "--", "sh", "-c", "trap '' HUP; sleep 1000")
    podsh.wait_state("victim", "running")
    process.kill()
    process.communicate()
    podsh.wait_state("victim", "exited", timeout_s=10)


def test_detached_goes_on_and_its_end_can_be_waited_for(podsh: Podsh) -> None:
    assert podsh.run("run", "-d", "-n", "later", "--", "sh", "-c", "sleep 0.5; exit 5").code == 0
    assert podsh.state_of("later") == "running"
    assert podsh.run("wait", "later", "exit").code == 5
    assert podsh.state_of("later") == "exited"
    assert podsh.run("rm", "later").code == 0
    assert podsh.state_of("later") == ""


def test_wait_has_a_limit(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "long", "--", "sleep", "100")
    assert podsh.run("wait", "long", "exit", "-t", "0.3").code == 124
    assert podsh.run("kill", "long").code == 0
    podsh.wait_state("long", "exited")


def test_a_live_name_is_not_taken_twice_nor_removed(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "one", "--", "sleep", "100")
    again = podsh.run("run", "-d", "-n", "one", "--", "true")
    assert again.code == 2
    assert "one: is already running" in again.err
    removed = podsh.run("rm", "one")
    assert removed.code == 2
    assert "podsh kill one" in removed.err
    podsh.run("kill", "-s", "KILL", "one")
    podsh.wait_state("one", "exited")


def test_exec_joins_with_a_terminal_and_streams_of_its_own(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "host", "--", "sh", "-c", "echo mark > /tmp/m; sleep 100")
    podsh.wait_state("host", "running")
    done = podsh.run("exec", "host", "--", "sh", "-c", "cat /tmp/m; cat; exit 4", stdin="in\n")
    assert (done.code, done.out) == (4, "mark\nin\n")
    assert podsh.state_of("host") == "running"
    podsh.run("kill", "-s", "KILL", "host")
    podsh.wait_state("host", "exited")
    gone = podsh.run("exec", "host", "--", "true")
    assert gone.code != 0


def test_logs_show_what_a_detached_pod_wrote(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "talk", "--", "sh", "-c", "echo one; echo two >&2")
    podsh.run("wait", "talk", "exit")
    assert podsh.run("logs", "talk").out.replace("\r", "").split() == ["one", "two"]


def test_dry_run_prints_the_plan_and_starts_nothing(podsh: Podsh) -> None:
    done = podsh.run("run", "--dry-run", "--ro", "/usr/share/doc", "--", "true")
    assert done.code == 0
    assert "bind     /usr/share/doc ro nosuid nodev  [--ro]" in done.out
    assert podsh.ps() == []


def test_a_bind_that_is_not_there_names_the_path_and_the_mend(podsh: Podsh) -> None:
    done = podsh.pod("true", options=("--ro", str(podsh.base / "nothing")))
    assert done.code in (2, 125)
    assert f"no such file or directory on the host: {podsh.base}/nothing" in done.err


def test_stdout_closed_early_ends_the_program_as_without_podsh(podsh: Podsh) -> None:
    podsh_yes = podsh.start("run", "--rm", "--", "yes", stderr=subprocess.DEVNULL)
    assert podsh_yes.stdout is not None
    assert podsh_yes.stdout.read(4) == b"y\ny\n"
    podsh_yes.stdout.close()
    assert podsh_yes.wait(timeout=10) == 128 + signal.SIGPIPE
