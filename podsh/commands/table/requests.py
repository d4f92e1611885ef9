"""What pods ask for, and what they are given unasked."""

from __future__ import annotations

from podsh.commands.syntax import JSON, Command, Option, Word

COMMANDS: tuple[Command, ...] = (
    Command(
        "requests",
        "podsh.commands.requests:requests",
        help="list what pods ask for and wait for",
        example="requests",
        options=(Option("--all", help="also the last that were decided"), JSON),
    ),
    Command(
        "review",
        "podsh.commands.requests:review",
        help="look at the requests that wait, one by one, and decide",
        example="review",
        words=(Word("ID", complete="request", optional=True),),
        terminal=True,
    ),
    Command(
        "allow",
        "podsh.commands.requests:allow",
        help="give what a request asks for: once, or as the options say",
        example="allow 7 --save dev",
        options=(
            Option("--pod", help="for as long as the pod lives"),
            Option(
                "--save",
                value="PROFILE",
                complete="profile",
                bare=True,
                help="also write the rule into PROFILE (default: the pod's own)",
            ),
            Option("--dir", value="PATH", complete="dir", help="all below this directory above it"),
            Option("--read", help="only to read, though it asks to write"),
            Option("--if", value="RULE", help="only if it asks for this, 'OP PATH'; else fail"),
            JSON,
        ),
        words=(Word("ID", complete="request", repeat=True),),
    ),
    Command(
        "deny",
        "podsh.commands.requests:deny",
        help="refuse requests: the program gets an error",
        example="deny 7",
        options=(
            Option("--pod", value="POD", complete="live", help="all that wait in POD"),
            Option("--always", help="the same again too, as long as the pod lives"),
            JSON,
        ),
        words=(Word("ID", complete="request", optional=True, repeat=True),),
    ),
    Command(
        "mount",
        "podsh.commands.grants:mount",
        help="show a live pod one more host path",
        example="mount web ~/data",
        options=(Option("-w", "--write", help="writable"), JSON),
        words=(
            Word("POD", complete="live"),
            Word("SRC", complete="path"),
            Word("DST", optional=True),
        ),
    ),
    Command(
        "revoke",
        "podsh.commands.grants:revoke",
        help="take away what mount gave; what is open stays open",
        example="revoke web ~/data",
        options=(JSON,),
        words=(Word("POD", complete="live"), Word("PATH", complete="path")),
    ),
    Command(
        "why",
        "podsh.commands.why:why",
        help="which rule decides about a path, and what would turn it",
        example="why web ~/.gitconfig --write",
        options=(
            Option("-w", "--write", help="about writing there"),
            Option(
                "-p",
                "--profile",
                value="PROFILE",
                complete="profile",
                repeat=True,
                help="for a pod that would be started so, instead of POD",
            ),
            JSON,
        ),
        words=(Word("POD", complete="live"), Word("PATH", complete="path", optional=True)),
    ),
)
