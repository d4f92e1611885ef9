"""The console with real pods, in tmux: what a person sees."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh
    from tests.helpers.tmux import Tmux

SHELL = "bash --norc --noprofile"
PROMPT = r"^podsh>$"


def leave(t: Tmux) -> None:
    """Quit a console that has live pods, and keep these."""
    t.type("quit")
    t.keys("Enter")


def test_run_leave_come_back_and_end(podsh: Podsh) -> None:
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type(f"run --rm -n web -- {SHELL}")
        t.keys("Enter")
        t.wait(r"^bash-\S+[#$]")
        t.type("echo mark-$((40+2))")
        t.keys("Enter")
        t.wait("^mark-42$")
        t.keys("C-]")
        t.wait(r"^\d\d:\d\d:\d\d web +\. +start bash --norc --noprofile \(pid \d+\)")
        # nothing that the pod drew is on the console's screen
        assert not any("mark-42" in line for line in t.history())
        t.wait(r"1 pod +C-\] web")
        t.keys("C-]")
        t.wait("^mark-42$")
        t.type("exit 7")
        t.keys("Enter")
        t.wait(r"web +\. +exit 7 after \d+s")
        t.type("quit")
        t.keys("Enter")


def test_a_short_program_leaves_its_words(podsh: Podsh) -> None:
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type(r"run --rm -n say -- printf 'one\n\033[31mtwo\033[0m\n'")
        t.keys("Enter")
        t.wait(r"^say \| one$\n^say \| two$")
        t.wait(r"say +\. +exit 0")
        t.type("run --rm -n no -- no-such-program")
        t.keys("Enter")
        t.wait("no-such-program: not found in the pod")
        leave(t)


def test_what_was_cut_of_its_words_is_told(podsh: Podsh) -> None:
    with podsh.tmux(rows=40) as t:
        t.wait(PROMPT)
        t.type("run -n long -- seq 100 130")
        t.keys("Enter")
        t.wait(r"^long \| … \(all of it: logs long\)\n(long \| 1[12]\d\n){14}long \| 130$")
        t.type("run -n short -- seq 15")
        t.keys("Enter")
        t.wait(r"(?s)-- seq 15\nshort \| 1\n.*short \| 15$")
        leave(t)


def test_the_key_goes_to_the_last_pod_that_lives(podsh: Podsh) -> None:
    with podsh.tmux(rows=30) as t:
        t.wait(PROMPT)
        for name in ("one", "two"):
            t.type(f"run -n {name} -- sh -c 'echo i-am-{name}; exec sleep 1000'")
            t.keys("Enter")
            t.wait(f"^i-am-{name}$")
            t.keys("C-]")
            t.wait(rf"C-\] {name}$")
        t.type("run -n short -- true")
        t.keys("Enter")
        t.wait("short +. +exit 0")
        t.wait(r"2 pods  C-\] two$")
        t.type("kill two")
        t.keys("Enter")
        t.wait(r"1 pod  C-\] one$")
        t.keys("C-]")
        t.wait("^i-am-one$")
        t.keys("C-]")
        t.wait(PROMPT)
        t.type("kill one")
        t.keys("Enter")
        t.wait("^ 0 pods$")
        t.keys("C-]")
        t.wait("podsh: one: has ended")
        leave(t)
    time.sleep(0.5)  # the tmux server frees its socket
    with podsh.tmux("-c", "run -d -n left -- sleep 1000"):
        podsh.wait_state("left", "running")
    time.sleep(0.5)
    with podsh.tmux() as t:
        t.wait(r"^ 1 pod  C-\] left$")
        podsh.run("kill", "left")
        t.wait("^ 0 pods$")
        leave(t)


def test_a_list_of_candidates_leaves_no_toolbar_behind(podsh: Podsh) -> None:
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.wait("^ 0 pods$")
        t.type("profile ")
        t.keys("Tab")
        t.wait(r"(?s)^list +show.*^podsh> profile$.*^ 0 pods$")
        assert sum("0 pods" in line for line in t.history()) == 1
        t.keys("C-u")
        leave(t)


def test_another_directory(podsh: Podsh) -> None:
    there = podsh.directory("home/some where")
    podsh.file(there / "file", "what is there\n")
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type("cd some")
        t.keys("Tab", "Enter")
        t.wait('some where[/"]*$\n^podsh>$')
        t.type("run -n rd --ro . -- cat file")
        t.keys("Enter")
        t.wait(r"^rd \| what is there$")
        t.type("cd nowhere")
        t.keys("Enter")
        t.wait("^podsh: nowhere: No such file or directory$")
        t.type("cd")
        t.keys("Enter")
        t.wait(rf"^{podsh.home}$")
        leave(t)
    done = podsh.run("-c", f"cd '{there}'\nrun --ro . -- cat file\ncd /nope\n")
    assert (done.code, done.out) == (2, "what is there\n")
    assert "-c:3: /nope: No such file" in done.err


def test_detached_pods_print_above_the_typing(podsh: Podsh) -> None:
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type("run -d --rm -n tick -- sleep 1")
        t.keys("Enter")
        t.wait(r"tick +\. +start")
        t.type("help mou")
        t.wait(r"tick +\. +exit 0")
        t.type("nt")
        t.keys("Enter")
        t.wait("show a live pod one more host path")
        leave(t)


def test_quitting_with_live_pods(podsh: Podsh) -> None:
    with podsh.tmux(rows=30) as t:
        t.wait(PROMPT)
        t.type("run -d -n stays -- sleep 100")
        t.keys("Enter")
        t.wait(r"stays +\. +start")
        t.keys("C-d")
        t.wait(r"1 pod running \(stays\)\. keep, kill or stay\?")
        t.type("stay")
        t.keys("Enter")
        t.wait(r"stay\npodsh>$")
        # what was typed before it was asked is no answer
        t.type("quit\rkill\r")
        t.wait(r"(?s)keep, kill.*keep, kill or stay\? \[keep\]$")
        time.sleep(0.3)
        assert podsh.state_of("stays") == "running"
        t.keys("Enter")
        podsh.wait_state("stays", "running")
    time.sleep(0.5)  # the tmux server frees its socket
    with podsh.tmux() as t:
        t.wait(r"Pods: stays\.")
        t.wait(PROMPT)  # before that C-d would be the terminal's
        t.keys("C-d")
        t.wait("keep, kill or stay")
        t.type("kill")
        t.keys("Enter")
        podsh.wait_state("stays", "exited")


def test_from_a_shell_s_run_into_the_console_and_out(podsh: Podsh) -> None:
    with podsh.tmux("run", "-n", "web", "--", *SHELL.split()) as t:
        t.wait(r"^bash-\S+[#$]")
        t.type("echo on-the-$((1))-screen")
        t.keys("Enter")
        t.wait("^on-the-1-screen$")
        t.keys("C-]")
        t.wait(PROMPT)
        # it was the person's own screen: it is still there
        t.wait("^on-the-1-screen$")
        t.keys("C-]")
        t.type("echo back-$((2))")
        t.keys("Enter")
        t.wait("^back-2$")
        t.keys("C-]")
        t.wait(PROMPT)
        t.type("quit")
        t.keys("Enter")
        podsh.wait_state("web", "running")
    assert podsh.run("kill", "-s", "KILL", "web").code == 0
    podsh.wait_state("web", "exited")


def test_typed_ahead_shows_at_the_prompt_alone(podsh: Podsh) -> None:
    assert podsh.run("run", "-d", "-n", "web", "--", "cat").code == 0
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type("wait web exit")
        t.keys("Enter")
        t.wait("^podsh> wait web exit$\n^$")
        t.type("pods of mine")
        assert podsh.run("ps").code == 0  # time for an echo
        assert not any("pods of mine" in line for line in t.screen())
        assert podsh.run("kill", "web").code == 0
        t.wait("^podsh> pods of mine$")
        t.keys("C-u")
        leave(t)


def test_a_program_by_exec_is_held(podsh: Podsh) -> None:
    assert podsh.run("run", "-d", "-n", "web", "--", "sleep", "100").code == 0
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type(f"exec web -- {SHELL}")
        t.keys("Enter")
        t.wait(r"^bash-\S+[#$]")
        t.type("N=kept")
        t.keys("Enter")
        t.keys("C-]")
        t.wait(PROMPT)
        t.keys("C-]")
        t.type("echo $N; exit 5")
        t.keys("Enter")
        t.wait("^podsh: web: exit 5$")
        t.type("kill -s KILL web")
        t.keys("Enter")
        t.wait(r"web +\. +killed by KILL")
        leave(t)


def test_hanging_up_the_console_keeps_the_pods(podsh: Podsh) -> None:
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type(f"run -n web -- {SHELL}")
        t.keys("Enter")
        t.wait(r"^bash-\S+[#$]")
    time.sleep(0.3)
    assert podsh.state_of("web") == "running"
    podsh.run("kill", "-s", "KILL", "web")
    podsh.wait_state("web", "exited")


def test_questions_to_the_terminal_do_not_reach_the_prompt(podsh: Podsh) -> None:
    questions = r"\033[c\033[6n\033[>q\033]11;?\033\\\033[5n\033P$qm\033\\"
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type(f"run --rm -n evil -- sh -c 'while printf \"{questions}\"; do sleep .01; done'")
        t.keys("Enter")
        end = time.monotonic() + 20
        while "evil - podsh" not in t.call("display", "-p", "#{pane_title}"):
            assert time.monotonic() < end, "not attached"
            time.sleep(0.05)
        t.keys("C-]")
        t.wait(r"evil +\. +start")
        time.sleep(0.3)
        t.wait(r"^podsh>$")
        t.type("kill -s KILL evil")
        t.keys("Enter")
        t.wait(r"evil +\. +killed by KILL")
        leave(t)
