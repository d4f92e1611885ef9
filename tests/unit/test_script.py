"""Scripts: quoting, variables, and how an error is told."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.cli import main
from podsh.commands.context import Context
from podsh.commands.script import ScriptStopped, lines_of, run_script, split
from podsh.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("ps", ["ps"]),
        ("ps\nevents\n", ["ps", "events", ""]),
        ("run -- sh -c 'a\n$NO b'\nps", ["run -- sh -c 'a\n$NO b'", "ps"]),
        ('x "a\n\nb" # it\'s\nps', ['x "a\n\nb" # it\'s', "ps"]),
        ("x 'open\nps", ["x 'open\nps"]),
        ("x \\\nps", ["x \\", "ps"]),
    ],
)
def test_what_is_pasted_may_be_several_lines(text: str, lines: list[str]) -> None:
    assert lines_of(text) == lines


VARIABLES = {"DIR": "/srv/my web", "A": "1", "EMPTY": ""}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  # only a comment", []),
        ("ps # and a comment", ["ps"]),
        ("a#b c", ["a#b", "c"]),
        ("run -- sh -c 'echo $A; # no'", ["run", "--", "sh", "-c", "echo $A; # no"]),
        ("x $DIR/a", ["x", "/srv/my web/a"]),
        ('x "$DIR"', ["x", "/srv/my web"]),
        ("x ${A}2 $A", ["x", "12", "1"]),
        (r"x \$A a\ b", ["x", "$A", "a b"]),
        (r'x "\$A \" \n"', ["x", r"$A \" \n".replace('\\"', '"')]),
        ("x '' \"\" $EMPTY", ["x", "", "", ""]),
        ("x $ 5$", ["x", "$", "5$"]),
        ("x a''b", ["x", "ab"]),
        (r"x $'a\n\e[2J\'\x41\u00e9\101'b", ["x", "a\n\x1b[2J'AéAb"]),
        (r"x $'\xc3\xa9\xff' '$'", ["x", "é\udcff", "$"]),
        (r'x "$' + "'" + r"a\n" + "'" + r'" $' + "'" + r"\q\x" + "'", ["x", r"$'a\n'", r"\q\x"]),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert split(line, VARIABLES) == words


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_what_a_shell_quotes_is_read_back(words: list[str]) -> None:
    assert split(shlex.join(words), {}) == words


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("x 'a", "no closing '"),
        ('x "a', 'no closing "'),
        ("x \\", "nothing follows"),
        ("x $'a", "no closing '"),
        ("x $'\\ud800'", "is no character"),
        ("x $NO_SUCH_THING_", "$NO_SUCH_THING_ is not set"),
        ("x ${A", "${A: no closing }"),
        ("x ${}", "not a variable's name"),
    ],
)
def test_what_cannot_be_read(line: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        split(line, VARIABLES)
    assert error in str(caught.value)


def script(text: str, context: Context | None = None) -> int:
    return run_script(text.splitlines(), "t.pod", context or Context("script"))


def test_the_first_error_stops_with_file_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ScriptStopped) as caught:
        script("set A=1\n\n# comment\nset --nope\nset B=2")
    assert str(caught.value).startswith("t.pod:4: set: unrecognized arguments: --nope")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("allow 7 --nope", "t.pod:4: allow: unrecognized arguments: --nope"),
        ("alow 7", "t.pod:4: unknown command: alow; did you mean allow?"),
        ("allow 7 --sve", "t.pod:4: allow: unrecognized arguments: --sve; did you mean --save?"),
        ("wait web exti", "t.pod:4: wait: not 'exti'; did you mean exit?"),
        ("profile shwo x", "t.pod:4: profile: unknown command: shwo; did you mean show?"),
        ("echo $HOEM", "t.pod:4: $HOEM is not set; did you mean HOME?"),
    ],
)
def test_errors_say_where_and_what_may_be_meant(line: str, said: str) -> None:
    with pytest.raises(ScriptStopped) as caught:
        script(f"set A=1\n\n# comment\n{line}\nset B=2")
    assert str(caught.value).startswith(said)


def test_a_leading_dash_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    context = Context("script")
    assert script("-set --nope\n- nosuch\nset B=2", context) == 0
    assert context.variables == {"B": "2"}
    said = capsys.readouterr().err
    assert "t.pod:1: set:" in said
    assert "t.pod:2: unknown command: nosuch" in said


def test_variables_and_quit() -> None:
    context = Context("script")
    assert script("set A=x\nset B=$A$A\nquit\nnosuch", context) == 0
    assert context.variables == {"A": "x", "B": "xx"}


def test_source_and_its_errors(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.write_text("set A=1\nset -x\n")
    context = Context("script")
    with pytest.raises(ScriptStopped) as caught:
        script(f"source {inner}", context)
    assert str(caught.value).startswith(f"{inner}:2: set:")
    assert context.variables == {"A": "1"}


def test_a_file_that_sources_itself(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.write_text(f"source {loop}\n")
    with pytest.raises(ScriptStopped, match="sources itself"):
        script(f"source {loop}")


def test_the_command_line_runs_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s"
    path.write_text("set A=1\nset\n")
    assert main(["-f", str(path)]) == 0
    assert capsys.readouterr().out == "A=1\n"
    assert main(["-c", "set A=2\nset"]) == 0
    assert capsys.readouterr().out == "A=2\n"
    path.write_bytes(b"set A=1\nset \xff\n")
    assert main(["-f", str(path)]) == 2
    assert capsys.readouterr().err == f"podsh: {path}:2: is not UTF-8\n"
    assert main(["-f", str(tmp_path / "none")]) == 2
    assert main(["-c", "attch web"]) == 2
    assert capsys.readouterr().err.endswith("-c:1: unknown command: attch; did you mean attach?\n")


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--nope"], 2, "podsh: unrecognized arguments: --nope"),
        (["-c"], 2, "podsh: -c takes the commands"),
        (["-f", "a", "b"], 2, "podsh: -f takes a file"),
        (["nosuch\x1b[2J"], 2, "podsh: unknown command: nosuch\\x1b[2J"),
        (["help", "nosuch"], 2, "podsh: help: no command called 'nosuch'"),
        (["set", "1=2"], 2, "podsh: set: '1=2' is not NAME=VALUE"),
    ],
)
def test_usage_errors(
    argv: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == code
    assert said in capsys.readouterr().err


def test_help_knows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    everything = capsys.readouterr().out
    assert "attach" in everything
    assert main(["help", "profile"]) == 0
    assert "profile new" in capsys.readouterr().out
    assert main(["run", "--help"]) == 0
    assert "--dry-run" in capsys.readouterr().out


def test_how_the_last_command_ended(capsys: pytest.CaptureFixture[str]) -> None:
    context = Context("script")
    text = "echo $?\n-nosuch\nset A=$?\n-set B=1\necho $A ${?} -n 'a  b'\nquit 7\nnosuch"
    assert script(text, context) == 7
    assert context.variables["A"] == "2"
    assert capsys.readouterr().out == "0\n2 0 -n a  b\n"
    with pytest.raises(ScriptStopped):
        script("quit 256")


def test_standard_input_is_read_as_it_comes() -> None:
    """Another program may talk with it; its own programs do not get what it reads."""
    with subprocess.Popen(
        [sys.executable, "-m", "podsh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as talk:
        assert talk.stdin is not None
        assert talk.stdout is not None
        for word in ("one", "two"):
            talk.stdin.write(f"echo {word}\n")
            talk.stdin.flush()
            assert talk.stdout.readline() == f"{word}\n"
        talk.stdin.write("quit 3\n")
        talk.stdin.close()
        assert talk.wait(20) == 3


def test_standard_input_that_is_no_text() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "podsh", "-f", "-"],
        input=b"echo a\n\xff\n",
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stdout == b"a\n"
    assert b"-:2: is not UTF-8" in done.stderr
