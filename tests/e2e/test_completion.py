"""Completion in bash, zsh and fish as people use them: real shells, the Tab key, what is there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.helpers.needs import needs_program
from tests.helpers.tmux import Tmux

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers.runner import Podsh

BASH = "/usr/share/bash-completion/bash_completion"


class Shell(NamedTuple):
    """How it is started, set up, and where completions are installed below a share directory."""

    argv: tuple[str, ...]
    setup: str
    place: str


SHELLS = {
    "bash": Shell(
        ("bash", "--norc", "--noprofile"),
        f"PS1='> '; . {BASH}; bind 'set enable-bracketed-paste off'",
        "bash-completion/completions/podsh",
    ),
    "zsh": Shell(
        ("zsh", "-f"),
        "PS1='> '; fpath=({share}/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D",
        "zsh/site-functions/_podsh",
    ),
    "fish": Shell(
        ("fish", "--no-config"),
        # --no-config leaves the directories of completions out
        "function fish_prompt; echo -n '> '; end;"
        " set -p fish_complete_path {share}/fish/vendor_completions.d;"
        " set -g fish_autosuggestion_enabled 0",
        "fish/vendor_completions.d/podsh.fish",
    ),
}


@contextlib.contextmanager
def shell(podsh: Podsh, name: str) -> Iterator[Tmux]:
    """The shell in tmux, in a home with awkward names; podsh's completion where packages put it."""
    kind = SHELLS[name]
    needs_program(name)
    share = podsh.directory("share")
    stub = podsh.run("complete", "--stub", name)
    assert stub.code == 0, stub.err
    podsh.directory("share/" + kind.place.rpartition("/")[0])
    podsh.file(share / kind.place, stub.out)
    work = podsh.directory("home/work")
    for awkward in ("my dir", "evil\x1b]0;x\x07", "evil\nps", "evil plain", "it's:\\one"):
        podsh.directory(f"home/work/{awkward}")
    env = {
        **podsh.env,
        "PATH": f"{podsh.command.parent}:{podsh.env['PATH']}",
        "XDG_DATA_DIRS": f"{share}:/usr/share",
    }
    with Tmux(kind.argv, podsh.caller, env, str(work), podsh.base) as t:
        t.type(kind.setup.format(share=share) + "; clear")
        t.keys("Enter")
        t.wait(r"\A> *\n\n")
        yield t


def clear(t: Tmux) -> None:
    t.keys("C-e", "C-u")
    t.keys("C-l")
    t.wait(r"\A> *\n\n")


@pytest.mark.parametrize("name", SHELLS)
def test_tab(podsh: Podsh, name: str) -> None:
    podsh.profile("develop", 'extends = "base"\ndescription = "where I work"\n')
    script = (
        "mkdir -p deep; touch report.txt deep/er.txt $(printf 'ev\\033il'); echo made; sleep 1000"
    )
    assert podsh.run("run", "-d", "-n", "web", "--", "sh", "-c", script).code == 0
    assert podsh.run("wait", "web", "text:made", "-t", "20").code == 0
    with shell(podsh, name) as t:
        for typed, becomes in (
            ("podsh att", r"^> podsh attach $"),
            ("podsh attach w", r"^> podsh attach web $"),
            ("podsh run --det", r"^> podsh run --detach $"),
            ("podsh run --profile=devel", r"^> podsh run --profile=develop $"),
            ("podsh run -p develop -- slee", r"^> podsh run -p develop -- sleep $"),
            ("podsh run --ro my", r"^> podsh run --ro (my\\ dir/|'my dir/'?)$"),
            # what a terminal would not show as it is, is left out
            ("podsh run --ro evil", r"^> podsh run --ro (evil\\ plain/|'evil plain/'?)$"),
            ("podsh run --ro it", r"^> podsh run --ro (it\\'s:\\\\one/|\"it's:\\\\\\\\one/)$"),
            ("podsh run --ro 'my", r"^> podsh run --ro 'my dir/'?$"),
            # what a pod has, and what is here
            ("podsh cp we", r"^> podsh cp web:$"),
            ("podsh cp web:rep", r"^> podsh cp web:report.txt $"),
            ("podsh cp -r web:de", r"^> podsh cp -r web:deep/$"),
            ("podsh cp web:deep/", r"^> podsh cp web:deep/er.txt $"),
            ("podsh cp web:report.txt my", r"^> podsh cp web:report.txt (my\\ dir/|'my dir/'?)$"),
            ("podsh run --ro ~/wor", r"^> podsh run --ro (~|/\S+/home)/work/$"),
        ):
            t.type(typed)
            t.keys("Tab")
            # a word that is whole is followed by a space: what is typed next is a word
            whole = becomes.endswith(" $")
            if whole:
                t.type("z")
            t.wait(becomes.replace(" $", " z$") if whole else becomes)
            clear(t)
        # in a pod as well; nor are names looked for here that it has not
        t.type("podsh cp web:ev")
        t.keys("Tab")
        t.type("z")
        t.wait("^> podsh cp web:evz$")
        clear(t)
        # several: listed, with what they are, but in bash
        t.type("podsh profile ")
        t.keys("Tab", "Tab")
        t.wait(r"(?s)edit.*list|list.*edit")
        if name != "bash":
            t.wait("list the profiles found")
        clear(t)
        t.type("podsh run -p deve")
        t.keys("Tab")
        t.wait("^> podsh run -p develop")
        clear(t)
        t.type("true")
        t.keys("Enter")
    podsh.run("kill", "web")


def test_without_a_portal(podsh: Podsh) -> None:
    """Nothing is started for a Tab, and the profiles' files are named all the same."""
    podsh.profile("develop", 'extends = "base"\n')
    podsh.profile("ev\x1bil", 'extends = "base"\n')
    podsh.close()
    before = set(podsh.runtime.rglob("*.sock"))
    done = podsh.run("complete", "--format", "values", "--", "run", "-p", "")
    assert {"develop", "base", "build"} <= set(done.out.split())
    assert "\x1b" not in done.out
    assert podsh.run("complete", "--", "attach", "").out == ""
    assert set(podsh.runtime.rglob("*.sock")) == before
