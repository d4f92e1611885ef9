"""The registry and its parser."""

from __future__ import annotations

import pytest

from podsh.commands.registry import FAMILIES, commands, find, table
from podsh.commands.script import split
from podsh.commands.syntax import Args, HelpWanted, parse
from podsh.errors import UsageError


def parsed(line: str) -> Args:
    command, rest = find(split(line, {}))
    return parse(command, rest)


@pytest.mark.parametrize("command", commands(), ids=lambda c: c.name)
def test_every_entry_is_sound(command: object) -> None:
    from podsh.commands.syntax import Command

    assert isinstance(command, Command)
    assert command.help
    assert not command.help.endswith(".")
    keys = [option.key for option in command.options] + [word.key for word in command.words]
    assert len(keys) == len(set(keys))
    for option in command.options:
        assert option.help, option.names
    # the example is a call of that command that parses
    found, rest = find(split(command.example, {"?": "0"}))
    assert found is command
    parse(found, rest)
    assert command.synopsis().startswith(command.name)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_say_what_is_in_their_tables(family: str) -> None:
    words = [command.name.partition(" ")[0] for command in table(family)]
    assert tuple(dict.fromkeys(words)) == FAMILIES[family]


def test_run_takes_options_until_the_program() -> None:
    args = parsed("run -n web -p dev -p=net --env A=1 --rw /srv -d make -j 4 -n x --rm -- y")
    assert args.text("name") == "web"
    assert args.many("profile") == ["dev", "net"]
    assert args.many("env") == ["A=1"]
    assert args.flag("detach")
    assert not args.flag("rm")
    assert args.rest == ["make", "-j", "4", "-n", "x", "--rm", "--", "y"]


def test_two_dashes_end_the_options() -> None:
    assert parsed("run -d -- -x --name").rest == ["-x", "--name"]
    assert parsed("exec web -- ls -l").rest == ["ls", "-l"]
    assert parsed("exec web ls -l").rest == ["ls", "-l"]
    assert parsed("kill -- -odd-").many("pod") == ["-odd-"]


def test_short_options_may_be_glued() -> None:
    args = parsed("run -dnweb true")
    assert args.flag("detach")
    assert args.text("name") == "web"
    assert parsed("kill -s9 web").text("signal") == "9"


@pytest.mark.parametrize(
    ("line", "x11", "rest"),
    [
        ("run xeyes", None, ["xeyes"]),
        ("run --x11 xeyes", "", ["xeyes"]),
        ("run --x11 -- nested", "", ["nested"]),
        ("run --x11 nested xeyes", "nested", ["xeyes"]),
        ("run --x11=nested -- xeyes", "nested", ["xeyes"]),
        ("run --x11 -n web xeyes", "", ["xeyes"]),
    ],
)
def test_a_choice_that_may_be_left_out(line: str, x11: str | None, rest: list[str]) -> None:
    args = parsed(line)
    assert (args.maybe("x11"), args.rest) == (x11, rest)


def test_missing_values_are_defaults() -> None:
    args = parsed("run true")
    assert args.maybe("name") is None
    assert args.many("ro") == []
    assert parsed("profile check").many("name") == []


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("allwo 7", "unknown command: allwo; did you mean allow?"),
        ("deyn 7", "unknown command: deyn; did you mean deny?"),
        ("allow", "allow: missing ID; as in: podsh allow 7 --save dev"),
        ("allow 7 --svae x", "did you mean --save?"),
        ("run --x11=nestde x", "--x11: not 'nestde'; did you mean nested?"),
        ("allow 7 --save a --save b", "allow: --save given twice"),
        ("attch web", "unknown command: attch; did you mean attach?"),
        ("run --nope -- x", "run: unrecognized arguments: --nope"),
        ("run --nmae x -- y", "did you mean --name?"),
        ("run --net hots -- y", "run: --net: not 'hots'; did you mean host?"),
        ("run -n a -n b -- y", "run: -n given twice"),
        ("run -n", "run: -n needs a value: NAME"),
        ("run -d=1 x", "run: unrecognized arguments: -="),
        ("run --detach=1 x", "run: --detach takes no value"),
        ("ps web", "ps: unrecognized arguments: 'web'"),
        ("wait web", "wait: missing exit|request|text:RE; as in: podsh wait web text:^ready -t 30"),
        ("exec web", "exec: missing CMD"),
        ("kill", "kill: missing POD"),
        ("profile", "profile: missing a word; one of: list, show"),
        ("profile lst", "profile: unknown command: lst; did you mean list?"),
    ],
)
def test_errors_say_what_and_what_next(line: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(line)
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("line", "saved", "ids"),
    [
        ("allow 7", None, ["7"]),
        ("allow 7 --save", "", ["7"]),
        ("allow --save 7", "", ["7"]),
        ("allow 7 --save dev 8", "dev", ["7", "8"]),
        ("allow --save --pod 7", "", ["7"]),
        ("allow --save=9 7", "9", ["7"]),
        ("allow --save -- 7", "", ["7"]),
    ],
)
def test_a_value_that_may_be_left_out(line: str, saved: str | None, ids: list[str]) -> None:
    args = parsed(line)
    assert args.maybe("save") == saved
    assert args.many("id") == ids


def test_control_characters_are_not_echoed() -> None:
    for words in (["\x1b[2J"], ["ps", "\x1b[2J"], ["profile", "\x1b[2J"], ["run", "--net", "\x1b"]):
        with pytest.raises(UsageError) as caught:
            parse(*find(words))
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("line", ["run --help", "run -h", "ps -h", "profile list --help"])
def test_help_is_asked_for(line: str) -> None:
    with pytest.raises(HelpWanted):
        parsed(line)


def test_help_after_the_program_is_the_programs() -> None:
    assert parsed("run ls --help").rest == ["ls", "--help"]


def test_jettisons_program_begins_with_the_first_option_that_is_not_known() -> None:
    args = parsed("jettison /bin/sh a.pod --strict -p me -c 'x y' --strict")
    assert [args.text(key) for key in ("program", "pod", "procname")] == ["/bin/sh", "a.pod", "me"]
    assert args.flag("strict")
    assert args.rest == ["-c", "x y", "--strict"]
    assert parsed("jettison /bin/ls a.pod --help").rest == ["--help"]
    assert parsed("jettison /bin/ls a.pod -- --strict").rest == ["--strict"]
    args = parsed("jettison /bin/ls a.pod --blacklist /usr")
    assert (args.maybe("blacklist"), args.rest) == ("", ["/usr"])
    assert parsed("jettison /bin/ls a.pod --blacklist=/b").maybe("blacklist") == "/b"
    with pytest.raises(HelpWanted):
        parsed("jettison --help")
    assert find(["jettison"])[0].synopsis().startswith("jettison [PROGRAM] [POD] [--strict]")
