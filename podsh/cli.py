"""argv -> one command, the console, or a script."""

from __future__ import annotations

import os
import sys

from podsh.errors import PodshError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

INTERRUPTED = 130

USAGE_TEXT = """\
podsh                 open the console
podsh CMD …           run one command: podsh help
podsh -c COMMANDS     run commands, one a line
podsh -f FILE         run the commands of FILE (-: standard input)
podsh --version"""


class _Site:
    """``python -S``: what was installed beside podsh is found once something of it is asked for.

    A start looks through the installed packages' directories (2 ms), and most commands need none.
    """

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> Any:
        """The last of ``sys.meta_path``: nobody knows ``name`` yet."""
        sys.meta_path.remove(cls)
        import site

        site.main()
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)  # type: ignore[arg-type]  # passed on
            if spec is not None:
                return spec
        return None


def start() -> NoReturn:
    """What the program ``podsh`` is: ``main``, without Python's own ending, which takes 3 ms."""
    import gc

    gc.set_threshold(50_000)  # imports make no garbage
    if sys.flags.no_site:
        sys.meta_path.append(_Site)
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # closed: nobody to hear it
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run podsh; the exit code. What is printed of errors goes to standard error."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _main(words)
        finally:
            sys.stdout.flush()
    except PodshError as exc:
        _complain(f"podsh: {exc}")
        return _code(exc)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has had enough; Python would complain again at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + 13
    except OSError as exc:
        place = f"{exc.filename}: " if exc.filename is not None else ""
        _complain(f"podsh: {place}{exc.strerror or exc}")
        return 125


def _code(error: PodshError) -> int:
    from podsh.commands.dispatch import code_of

    return code_of(error)


def _complain(text: str) -> None:
    from podsh.commands.context import Context
    from podsh.console.render import show_lines

    try:
        Context().err(show_lines(text))
    except OSError:
        pass  # nobody to hear it


def _main(words: list[str]) -> int:
    from podsh.commands.context import Context

    first = words[0] if words else ""
    if first in ("--help", "-h"):
        import textwrap

        from podsh.commands.registry import first_words

        print(USAGE_TEXT + "\n")
        names = [word for word in first_words() if word != "complete"]
        print(textwrap.fill("Commands: " + ", ".join(names), 78, subsequent_indent="  "))
        return 0
    if first == "--version":
        from podsh.wire.messages import VERSION

        print(f"podsh {VERSION}")
        return 0
    if first in ("-c", "-f"):
        if len(words) != 2:
            what = "the commands" if first == "-c" else "a file"
            raise UsageError(f"{first} takes {what}, and nothing else", hint="see: podsh --help")
        return _script(first, words[1])
    if first.startswith("-"):
        raise UsageError(f"unrecognized arguments: {first}", hint="see: podsh --help")
    if words:
        from podsh.commands.dispatch import execute

        context = Context("shell")
        try:
            return execute(words, context)
        finally:
            context.close()
    if sys.stdin is not None and sys.stdin.isatty():
        if not sys.stdout.isatty():
            raise UsageError("the console needs a terminal", hint="for one command: podsh help")
        from podsh.console.app import open_console

        return open_console(Context("console"))
    return _script("-f", "-")


def _script(option: str, what: str) -> int:
    from podsh.commands.context import Context
    from podsh.commands.script import ScriptStopped, lines_as_they_come, read_script, run_script

    context = Context("script")
    try:
        if option == "-c":
            return run_script(what.splitlines(), "-c", context)
        lines = read_script(what) if what != "-" else lines_as_they_come()
        return run_script(lines, what, context)
    except ScriptStopped as exc:
        _complain(str(exc))
        return _code(exc.error)
    finally:
        context.close()
