"""About podsh itself, scripts and the console."""

from __future__ import annotations

from podsh.commands.syntax import JSON, Command, Option, Word

COMMANDS: tuple[Command, ...] = (
    Command(
        "doctor",
        "podsh.commands.doctor:doctor",
        help="what this machine allows, and how to mend what is missing",
        example="doctor",
        options=(JSON,),
    ),
    Command(
        "set",
        "podsh.commands.shell:set_",
        help="set a variable, used as $NAME; alone: list them",
        example="set DIR=/srv/web",
        options=(JSON,),
        words=(Word("NAME=VALUE", complete="variable", optional=True, repeat=True),),
    ),
    Command(
        "cd",
        "podsh.commands.shell:cd",
        help="go to a directory, where what comes next is run",
        example="cd ~/site",
        words=(Word("DIR", complete="dir", optional=True),),
    ),
    Command(
        "echo",
        "podsh.commands.shell:echo",
        help="print words",
        example="echo web ended with $?",
        rest="WORDS",
        rest_optional=True,
        lenient=True,
    ),
    Command(
        "source",
        "podsh.commands.shell:source",
        help="run the commands of a file",
        example="source start.pods",
        words=(Word("FILE", complete="path"),),
        terminal=True,
    ),
    Command(
        "help",
        "podsh.commands.help:help_",
        help="this list, or one command",
        example="help run",
        options=(
            Option(
                "--man",
                value="PAGE",
                choices=("podsh", "podsh.profile", "podsh.pod"),
                help="a page of the manual: podsh help --man podsh | man -l -",
            ),
        ),
        words=(Word("CMD", complete="command", optional=True, repeat=True),),
    ),
    Command(
        "quit",
        "podsh.commands.shell:quit_",
        help="leave the console or the script (with an exit code); pods stay",
        example="quit",
        words=(Word("CODE", optional=True),),
    ),
    Command(
        "shutdown",
        "podsh.commands.shell:shutdown",
        help="end the portal; pods stay unless --kill",
        example="shutdown",
        options=(Option("--kill", help="end the pods as well"),),
    ),
    Command(
        "complete",
        "podsh.commands.complete:complete",
        help="candidates for the last word, for shells",
        example="complete -- attach w",
        options=(
            Option(
                "--format",
                value="FORM",
                choices=("lines", "values", "zsh"),
                help="lines: value, tab, help; values; zsh: sign, value:help",
            ),
            Option(
                "--stub",
                value="SHELL",
                choices=("bash", "zsh", "fish"),
                help="print the completion of that shell, to be sourced",
            ),
            Option("--typed", help="WORDS are as typed: with quotes and backslashes"),
        ),
        rest="WORDS",
        rest_optional=True,
    ),
)
