"""doctor: what this machine allows, and the command that mends what is missing."""

from __future__ import annotations

from podsh.console.render import cells, show_text
from podsh.errors import PodshError
from podsh.kernel.probe import probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args
    from podsh.kernel.probe import Finding

_INDENT = " " * 9


def doctor(args: Args, context: Context) -> int:
    """Probe and report; 1 where podsh cannot work, else 0."""
    found = probe()
    portal_pid, portal_words = _portal(context)
    works = all(finding.ok is not False for finding in found)
    if args.flag("json"):
        for finding in found:
            context.emit(
                {
                    "name": finding.name,
                    "ok": finding.ok is True,
                    "needed": finding.ok is False,
                    "have": finding.have,
                    "means": finding.means,
                    "mend": finding.mend,
                },
                "finding",
            )
        context.emit({"portal_pid": portal_pid, "works": works}, "doctor")
        return 0 if works else 1
    for line in report(found):
        context.out(line)
    context.out(portal_words)
    context.out(verdict(found))
    return 0 if works else 1


def _portal(context: Context) -> tuple[int | None, str]:
    try:
        client = context.running_portal()
    except PodshError as exc:
        return None, f"The portal does not answer: {show_text(str(exc))}"
    if client is None:
        return None, "No portal is running; the first command that needs it starts it."
    return client.pid, f"The portal runs as process {client.pid}."


def report(found: Sequence[Finding]) -> list[str]:
    """A line for each finding; below what is lacking, what that means and what mends it."""
    width = max(cells(finding.name) for finding in found)
    lines = []
    for finding in found:
        sign = "ok" if finding.ok else "needed" if finding.ok is False else "lacking"
        lines.append(f"{sign:7}  {finding.name:{width}}  {show_text(finding.have)}")
        if not finding.ok:
            lines.append(f"{_INDENT}  {finding.means}")
            if finding.mend:
                lines.append(f"{_INDENT}  mend: {show_text(finding.mend)}")
    return lines


def verdict(found: Sequence[Finding]) -> str:
    """The last line."""
    needed = [finding.name for finding in found if finding.ok is False]
    lacking = [finding.name for finding in found if finding.ok is None]
    if needed:
        return f"podsh does not work here until this is mended: {', '.join(needed)}."
    if lacking:
        return f"podsh works here; lacking: {', '.join(lacking)}."
    return "podsh works here, with everything it can use."
