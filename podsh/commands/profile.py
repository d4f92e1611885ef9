"""profile list, show, check, diff, new, edit: this user's profiles, read without the portal."""

from __future__ import annotations

import os

from podsh.console import render
from podsh.errors import PodshError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args
    from podsh.profiles import report, schema
    from podsh.profiles.find import Library

DEFAULT_EXTENDS = "base"


def list_(args: Args, context: Context) -> int:
    """The profiles found: a table, or an object a line."""
    entries = _library().entries()
    if args.flag("json"):
        for entry in entries:
            context.emit(entry._asdict(), "profile")
        return 0
    rows = [
        (
            render.show(entry.name),
            entry.origin,
            render.show_text(f"broken: {entry.error}" if entry.error else entry.description),
        )
        for entry in entries
    ]
    for line in render.table(("NAME", "FROM", "DESCRIPTION"), rows):
        context.row(line)
    return 0


def show(args: Args, context: Context) -> int:
    """One profile with all it extends, where each line comes from."""
    from podsh.profiles import report

    profile = _load(_library(), args.text("name"))
    if args.flag("json"):
        import dataclasses

        context.emit(dataclasses.asdict(profile), "profile")
        return 0
    for row in report.rows(profile):
        where = f"  [{render.show_text(row.where)}]" if row.where else ""
        context.out(f"{row.key:<18} {_words(row)}{where}")
    for note in profile.notes:
        context.out(f"{'note':<18} {render.show_text(note)}")
    return 0


def _words(row: report.Row) -> str:
    return " ".join(
        render.show_text(word) if row.key == "about" else render.show(word) for word in row.values
    )


def diff(args: Args, context: Context) -> int:
    """What two profiles, with all that they extend, do not have in common."""
    from podsh.profiles import report

    library = _library()
    names = args.many("name")
    if len(names) > 2:
        raise UsageError("compares two", place="profile diff", hint="as in: profile diff dev web")
    old, new = (
        {(row.key, row.values): row for row in report.rows(_load(library, name))}
        for name in (names if len(names) == 2 else [DEFAULT_EXTENDS, *names])
    )
    # by what each line is about: what went, then what came
    keys = list(dict.fromkeys(key for key, _ in (*old, *new)))
    for key in keys:
        for sign, rows, others in (("-", old, new), ("+", new, old)):
            for row in rows.values():
                if row.key != key or (row.key, row.values) in others:
                    continue
                if args.flag("json"):
                    fields = {"sign": sign, "key": key, "values": row.values, "where": row.where}
                    context.emit(fields, "difference")
                    continue
                where = f"  [{render.show_text(row.where)}]" if row.where else ""
                context.out(f"{sign} {row.key:<18} {_words(row)}{where}")
    return 0


def check(args: Args, context: Context) -> int:
    """Look for mistakes; 1 if there are any."""
    from podsh.plan import refused_caps

    library = _library()
    wrong = False
    json = args.flag("json")
    for name in args.many("name") or [entry.path for entry in library.entries()]:
        try:
            profile = _load(library, name)
            if refused := refused_caps(profile):
                raise UsageError(f"a run refuses {'; '.join(refused)}", place=profile.source)
        except PodshError as exc:
            if json:
                context.emit({"profile": name, "ok": False, "error": exc.to_wire()}, "check")
            else:
                context.err(render.show_text(str(exc)))
            wrong = True
            continue
        if json:
            context.emit({"profile": name, "ok": True}, "check")
        else:
            context.out(f"{render.show(name)}: ok")
            _remarks(profile, context)
    return 1 if wrong else 0


def new(args: Args, context: Context) -> int:
    """Write a profile from the options, or from what a pod has."""
    from podsh.profiles import save, values
    from podsh.profiles.words import Bad

    library = _library()
    name = args.text("name").removesuffix(".toml")
    try:
        values.name(name)
    except Bad as bad:
        raise UsageError(bad.cause, place="profile new", hint=bad.hint) from None
    path = os.path.join(library.directories[0], f"{name}.toml")
    if os.path.lexists(path):
        raise UsageError("is there already", place=path, hint=f"podsh profile edit {name}")
    pod = args.maybe("from")
    fields = context.portal().call("from_pod", pod=pod) if pod is not None else {}
    env = {str(key): str(value) for key, value in fields.get("env", {}).items()}
    text = save.new_profile(
        name,
        _binds(args, fields),
        [str(n) for n in fields.get("extends", ())] + args.many("extends") or [DEFAULT_EXTENDS],
        args.maybe("description") or "",
        home=library.ctx.home,
        cmd=[str(word) for word in fields.get("cmd") or ()],
        env=env,
        net=fields.get("net"),
        x11=fields.get("x11"),
        wayland=bool(fields.get("wayland")),
    )
    profile = library.check(path, text)
    save.write(path, text, private=bool(env))
    context.out(render.show(path))
    _remarks(profile, context)
    return 0


def edit(args: Args, context: Context) -> int:
    """Open a profile in $VISUAL or $EDITOR; what is saved is installed if it has no mistake."""
    from podsh.profiles import read, save

    library = _library()
    path = library.path(_file_or_name(args.text("name")))
    target = path
    if os.path.dirname(path) in library.directories[1:]:
        target = os.path.join(library.directories[0], os.path.basename(path))
        context.out(f"your own copy of {render.show(path)}: {render.show(target)}")
    text, stamp = read.read(path)
    edited = _edited(library, target, text, context)
    if edited is None:
        context.out("nothing changed")
        return 0
    if read.stamp(path) != stamp or (target != path and os.path.lexists(target)):
        raise UsageError("changed meanwhile", place=target, hint="edit it again")
    save.write(target, edited, force=target == path)
    context.out(render.show(target))
    return 0


def _edited(library: Library, target: str, text: str, context: Context) -> str | None:
    """What the editor made of ``text`` and is valid; None if nothing.

    On a terminal the person may go on until it is; elsewhere a mistake is an error.
    """
    import sys
    import tempfile

    from podsh.profiles import read

    with tempfile.TemporaryDirectory(prefix="podsh-edit-") as directory:
        copy = os.path.join(directory, os.path.basename(target))
        with open(copy, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        while True:
            _run_editor(copy)
            edited, _ = read.read(copy)
            if edited == text:
                return None
            try:
                _remarks(library.check(target, edited), context)
                return edited
            except UsageError as exc:
                if not sys.stdin.isatty():
                    raise _keep(exc, target, edited) from None
                context.err(render.show_text(str(exc)))
            if not _again():
                return None


def _again() -> bool:
    from podsh.console.echo import echo

    try:
        with echo(0, True):
            return not input("Enter: edit again, q: give up  ").strip()
    except EOFError:
        return False


def _keep(error: UsageError, target: str, text: str) -> UsageError:
    """Put a text that has a mistake beside ``target``; the error with where it is."""
    from podsh.profiles import save

    kept = f"{target}.rejected"
    save.write(kept, text, force=True, private=True)
    hint = f"{error.hint}; " if error.hint else ""
    return UsageError(error.cause, place=error.place, hint=f"{hint}your text is kept in {kept}")


def _run_editor(path: str) -> None:
    import shlex

    from podsh.console.echo import echo

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        argv = [*shlex.split(editor), path]
        with echo(0, True):
            pid = os.posix_spawnp(argv[0], argv, os.environ)
            _, status = os.waitpid(pid, 0)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise UsageError(f"{editor!a}: {reason}", place="profile edit", hint="set EDITOR") from None
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise UsageError(f"{editor!a} ended with {code}; nothing changed", place="profile edit")


def _remarks(profile: schema.Profile, context: Context) -> None:
    from podsh.profiles import report

    for remark in report.remarks(profile):
        context.out(f"  {render.show_text(remark)}")


def _binds(args: Args, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The binds to write, one a path, the later given first served."""
    from podsh.profiles.expand import absolute
    from podsh.profiles.words import Bad

    given = [(str(bind["path"]), bool(bind.get("write"))) for bind in fields.get("binds", ())]
    given += [(path, False) for path in args.many("ro")]
    given += [(path, True) for path in args.many("rw")]
    found: dict[str, dict[str, Any]] = {}
    for path, write in given:
        try:
            path = absolute(os.path.abspath(os.path.expanduser(path)))
        except Bad as bad:
            raise UsageError(bad.cause, place="profile new", hint=bad.hint) from None
        found[path] = {"path": path} | ({"write": True} if write else {})
    return list(found.values())


def _library() -> Library:
    from podsh import paths
    from podsh.profiles.find import Library
    from podsh.profiles.schema import Context

    try:
        cwd = os.getcwd()
    except OSError:  # it was removed: profiles that use it say so
        cwd = "/"
    home = os.path.expanduser("~")
    return Library(paths.config_dir(), Context(home, cwd, tuple(os.environ.items())))


def _load(library: Library, text: str) -> schema.Profile:
    """A profile to look at: one that needs a project loads outside of any too."""
    from podsh.profiles.expand import is_wide
    from podsh.profiles.schema import Context

    name, ctx = _file_or_name(text), library.ctx
    if is_wide(ctx.cwd, ctx) and ("/" not in name or library.is_kept(name)):
        ctx = Context(ctx.home, "/{cwd}", ctx.environ)
    return library.load(name, ctx)


def _file_or_name(text: str) -> str:
    """``~`` expanded (the shell does not everywhere)."""
    return os.path.expanduser(text) if text.startswith("~/") else text
