"""Profiles."""

from __future__ import annotations

from podsh.commands.syntax import JSON, Command, Option, Word

COMMANDS: tuple[Command, ...] = (
    Command(
        "profile list",
        "podsh.commands.profile:list_",
        help="list the profiles found",
        example="profile list",
        options=(JSON,),
    ),
    Command(
        "profile show",
        "podsh.commands.profile:show",
        help="print a profile with all it extends",
        example="profile show build",
        options=(JSON,),
        words=(Word("NAME", complete="profile"),),
    ),
    Command(
        "profile check",
        "podsh.commands.profile:check",
        help="look for mistakes in profiles (default: all)",
        example="profile check dev",
        options=(JSON,),
        words=(Word("NAME", complete="profile", optional=True, repeat=True),),
    ),
    Command(
        "profile diff",
        "podsh.commands.profile:diff",
        help="what two profiles do not have in common (of one: what it has and base has not)",
        example="profile diff dev web",
        options=(JSON,),
        words=(Word("NAME", complete="profile", repeat=True),),
    ),
    Command(
        "profile new",
        "podsh.commands.profile:new",
        help="write a new profile",
        example="profile new web --from web",
        options=(
            Option("--from", value="POD", complete="pod", help="what this pod has"),
            Option(
                "--extends", value="PROFILE", complete="profile", repeat=True, help="build on it"
            ),
            Option("--ro", value="PATH", complete="path", repeat=True, help="show PATH, read-only"),
            Option("--rw", value="PATH", complete="path", repeat=True, help="show PATH, writable"),
            Option("--description", value="TEXT", help="one line about it"),
        ),
        words=(Word("NAME"),),
    ),
    Command(
        "profile edit",
        "podsh.commands.profile:edit",
        help="open a profile in $EDITOR, and check it",
        example="profile edit web",
        words=(Word("NAME", complete="profile"),),
        terminal=True,
    ),
)
