"""Where podsh keeps its sockets, and what is too large for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh


def test_a_long_runtime_directory_and_a_long_name(make_podsh: Callable[[], Podsh]) -> None:
    podsh = make_podsh()
    podsh.runtime = podsh.directory("run/" + "/".join(["d" * 40] * 3))
    podsh.env["XDG_RUNTIME_DIR"] = str(podsh.runtime)
    name = "n" * 60
    assert podsh.run("run", "-d", "-n", name, "--", "sleep", "100").code == 0
    assert podsh.run("exec", name, "--", "echo", "here").out == "here\n"
    assert podsh.state_of(name) == "running"
    podsh.run("kill", "-s", "KILL", name)
    podsh.wait_state(name, "exited")


def test_an_argument_that_is_too_long_costs_the_pod_nothing(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "kept", "--", "sleep", "100")
    script = f"exec kept -- echo {'x' * 140000}\n"
    path = podsh.file(podsh.base / "script", script)
    done = podsh.run("-f", str(path))
    assert done.code == 126
    assert "Argument list too long" in done.err
    assert podsh.run("exec", "kept", "--", "echo", "here").out == "here\n"
    podsh.run("kill", "-s", "KILL", "kept")
    podsh.wait_state("kept", "exited")
