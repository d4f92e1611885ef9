"""The console's first line: what this machine's kernel has of what podsh wants."""

from __future__ import annotations

from podsh.kernel.probe import probe
from podsh.wire.messages import VERSION

_NAMED = ("user-namespaces", "seccomp-notification", "landlock")


def machine_line() -> str:
    """``podsh 0.1.0: kernel ok (user-namespaces, …).``, or what there is to mend."""
    findings = probe()
    lacking = [finding.name for finding in findings if finding.ok is False]
    if lacking:
        return f"podsh {VERSION}: this machine lacks {', '.join(lacking)}; see doctor."
    there = ", ".join(finding.name for finding in findings if finding.name in _NAMED)
    return f"podsh {VERSION}: kernel ok ({there})."
