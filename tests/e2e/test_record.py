"""What a pod wrote: recorded for asciinema, as text, byte by byte, as its last screen."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh

# what is typed sets it off; its size is told when it changes
SHOW = """
stty -echo; echo before
read a; printf 'caf\\303\\251 \\033[31mred\\033[0m\\033]52;c;QUJD\\007\\033[c\\r\\n'; stty size
read a; stty size
read a; echo after; exit 3
"""


def wait_for(true: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_recording_that_asciinema_plays(podsh: Podsh) -> None:
    run = podsh.run("run", "-d", "-n", "show", "--", "sh", "-c", SHOW)
    assert run.code == 0, run.err
    wait_for(lambda: "before" in podsh.run("logs", "show").out)
    cast = podsh.home / "demo.cast"
    other = podsh.file(podsh.home / "other", "mine", 0o600)
    link = podsh.home / "link"
    link.symlink_to(other)
    for path in (link, other):
        refused = podsh.run("record", "show", str(path))
        assert refused.code == 2
        assert "is there already; --overwrite" in refused.err
    old = os.umask(0)
    try:
        recorder = podsh.start("record", "show", str(cast))
    finally:
        os.umask(old)
    assert recorder.stderr is not None
    recorder.stderr.readline()
    podsh.run("send", "show", "-k", "Enter")
    wait_for(lambda: "red" in podsh.run("logs", "show").out)
    with podsh.terminal("attach", "show", rows=30, cols=100) as t:
        t.expect("red")
        t.send("\r")
        t.expect("30 100")
        t.send("\r")
        t.wait()
    assert recorder.wait(20) == 0
    assert recorder.stdout is not None
    assert b"events" in recorder.stdout.read()
    recorder.stdout.close()
    recorder.stderr.close()
    assert cast.stat().st_mode & 0o777 == 0o600
    assert other.read_text() == "mine"

    header, *events = [json.loads(line) for line in cast.read_text().splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert [text for _, code, text in events if code == "r"] == ["100x30"]
    said = "".join(text for _, code, text in events if code == "o")
    # from now on, and nothing that a player's terminal should not get
    assert "before" not in said
    assert said.endswith("after\r\n")
    assert "café \x1b[31mred\x1b[0m\r\r\n24 80" in said
    assert "\x1b]52" not in said
    assert "\x1b[c" not in said
    times = [at for at, _, _ in events]
    assert times == sorted(times)
    player = podsh.outside(str(Path(sys.executable).parent / "asciinema"), "cat", str(cast))
    assert player.code == 0, player.err
    assert player.out == said


def test_a_recording_is_ended_by_ctrl_c(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "long", "--", "sh", "-c", "read a; echo said; sleep 100")
    cast = podsh.home / "long.cast"
    for _ in range(2):
        recorder = podsh.start("record", "--overwrite", "long", str(cast))
        assert recorder.stderr is not None
        recorder.stderr.readline()
        podsh.run("send", "long", r"\n")
        wait_for(lambda: len(cast.read_text().splitlines()) > 1)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(20) == 0
        recorder.communicate()
    assert podsh.state_of("long") == "running"
    podsh.run("kill", "long")


def test_logs_as_text_as_bytes_and_as_a_screen(podsh: Podsh) -> None:
    drawing = r"printf '\033[?1049h\033[2J\033[3;5Hdrawn\033[?1049l'"
    text = r"printf 'one\r\n\033[31mtwo\033[0m \033]0;title\007\342\224\200\r\n'"
    screen = r"printf '\033[2J\033[2;3Hthere'"
    done = podsh.run("run", "-n", "words", "--", "sh", "-c", f"{text}; {drawing}; {screen}")
    assert done.code == 0, done.err
    podsh.run(
        "run", "-d", "-n", "words2", "--", "sh", "-c", f"{text}; {drawing}; {screen}; sleep 9"
    )
    wait_for(lambda: "there" in podsh.run("logs", "words2").out)
    assert podsh.run("logs", "words2").out == "one\ntwo ─\nthere\n"
    raw = podsh.run("logs", "--raw", "words2").out
    assert "\x1b[31mtwo" in raw
    assert "drawn" in raw
    assert podsh.run("logs", "--screen", "words2").out == "\n  there\n"
    podsh.run("kill", "words2")
    podsh.wait_state("words2", "exited")
    assert podsh.run("logs", "--screen", "words2").out == "\n  there\n"


def test_a_long_log_is_paged(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "many", "--", "seq", "100")
    podsh.wait_state("many", "exited")
    with podsh.tmux("logs", "many") as t:
        t.wait(r"^23$\n^:")
        t.type("/^77$")
        t.keys("Enter")
        t.wait("^77$")
        t.keys("q")


def test_typing_where_nobody_reads(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "deaf", "--", "sh", "-c", "stty raw; sleep 100")
    wait_for(lambda: podsh.state_of("deaf") == "running")
    codes = {podsh.run("send", "--literal", "deaf", "x" * 60000).code for _ in range(8)}
    assert codes == {0, 2}
    for wrong in (["send", "deaf"], ["send", "deaf", "-k", "F99"], ["send", "deaf", r"\q"]):
        assert podsh.run(*wrong).code == 2
    podsh.run("kill", "deaf")
