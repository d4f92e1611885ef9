"""Pods, names and clients that make it hard: the portal and the monitors go on, and pods end."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh

DEEP = """
import os
os.chdir(os.environ["HOME"])
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
os.chmod(".", 0)
"""
# orphans by the thousand, and more of them quicker than they can be reaped
ORPHANS = r"""
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	for (int i = 0; i < 2500; i++) {
		if (fork() == 0) {
			if (fork() == 0)
				for (;;)
					pause();
			_exit(0);
		}
		while (waitpid(-1, 0, WNOHANG) > 0)
			;
	}
	for (int i = 0; i < 6; i++) {
		while (i && fork() == 0) {
			for (;;) {
				pid_t child = vfork();
				if (child == 0) {
					if (fork() == 0)
						_exit(0);
					_exit(0);
				}
				waitpid(child, 0, 0);
			}
		}
	}
	write(1, "ready\n", 6);
	for (;;)
		pause();
}
"""
# more signals at once than answers fit into init's socket
SIGNALS = """
import sys, time
from podsh.portal import client
from podsh.wire import messages
from podsh.wire.framing import encode_json
pod = client.connect().call("pod", name="flood")
channel = client.monitor(pod["socket"], messages.ATTACH)
channel.send({"op": "attach", "rows": 24, "cols": 80})
channel.sock.sendall(encode_json({"op": "signal", "signo": 28, "group": True}) * 4000)
time.sleep(0.5)
"""


def test_a_home_deeper_than_any_path_is_removed(podsh: Podsh) -> None:
    done = podsh.run("run", "-n", "deep", "--", "python3", "-c", DEEP)
    assert done.code == 0, done.err
    assert podsh.run("rm", "deep", timeout=30).code == 0
    assert os.listdir(podsh.state / "podsh/pods") == []


def test_a_name_is_free_while_the_old_pods_files_are_removed(podsh: Podsh) -> None:
    many = "cd; for i in $(seq 50); do mkdir $i; (cd $i; seq 300 | xargs touch); done"
    assert podsh.run("run", "-n", "again", "--", "sh", "-c", many).code == 0
    removing = podsh.start("rm", "again")
    try:
        while podsh.state_of("again"):
            time.sleep(0.01)
        kept = "cd; ls; echo kept > f; sleep 1; cat f"
        done = podsh.run("run", "-n", "again", "--", "sh", "-c", kept)
        assert (done.code, done.out) == (0, "kept\n")
    finally:
        out, err = removing.communicate(timeout=30)
    assert (removing.returncode, out, err) == (0, b"", b"")


def test_a_removal_that_was_cut_short_is_finished(make_podsh: Callable[[], Podsh]) -> None:
    podsh = make_podsh()
    podsh.run("ps")
    podsh.run("shutdown")
    left = podsh.directory("state/podsh/pods/.removed-0123/home/x")
    podsh.file(left / "y", "z")
    podsh.run("ps")
    end = time.monotonic() + 10
    while (podsh.state / "podsh/pods/.removed-0123").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_who_sees_the_end_may_start_that_name_again(podsh: Podsh) -> None:
    """The portal knows of an end before the clients do."""
    script = "run -n turn -- true\n" * 40
    done = podsh.run("-f", "-", stdin=script)
    assert (done.code, done.err) == (0, "")


@pytest.mark.timeout(120)
def test_a_pod_that_makes_orphans_without_end_can_be_killed(podsh: Podsh) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    source = podsh.file(podsh.home / "orphans.c", ORPHANS)
    binary = podsh.home / "orphans"
    subprocess.run(["gcc", "-O1", "-w", "-static", "-o", binary, source], check=True)
    binary.chmod(0o755)
    options = ("--ro", str(binary))
    started = podsh.run("run", "-d", "-n", "orphans", *options, "--", str(binary))
    assert started.code == 0, started.err
    try:
        end = time.monotonic() + 30
        while "ready" not in podsh.run("logs", "orphans").out:
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(1)
        podsh.run("kill", "-s", "KILL", "orphans")
        assert podsh.run("wait", "orphans", "exit", "-t", "10").code == 137
    finally:
        pid = next((r["monitor_pid"] for r in podsh.ps() if r["name"] == "orphans"), None)
        if podsh.state_of("orphans") == "running" and pid:
            os.kill(pid, 9)


def test_a_client_that_takes_nothing_does_not_keep_its_pod_alive(podsh: Podsh) -> None:
    with podsh.terminal("run", "-n", "stuck", "--", "yes"):
        podsh.wait_state("stuck", "running")
        time.sleep(1)  # nobody reads the terminal
        assert podsh.run("kill", "stuck").code == 0
        assert podsh.run("wait", "stuck", "exit", "-t", "5").code == 143


def test_a_flood_of_signals_does_not_lock_the_monitor_up(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "flood", "--", "sleep", "100")
    podsh.wait_state("flood", "running")
    python = str(podsh.command.parent / "python")
    done = podsh.outside(python, "-I", "-c", SIGNALS)
    assert (done.code, done.err) == (0, "")
    podsh.run("kill", "-s", "KILL", "flood")
    assert podsh.run("wait", "flood", "exit", "-t", "5").code == 137


def test_a_home_that_cannot_be_one_is_told(podsh: Podsh) -> None:
    done = podsh.run("run", "--", "true", env={"HOME": "/"})
    assert done.code == 2
    assert "HOME: the home directory is /" in done.err
    assert podsh.pod("true", options=("--home", "podhome"), env={"HOME": "/"}).code == 0
