"""The console's first line: what this machine's kernel has of what podsh wants."""

from __future__ import annotations

from podsh.kernel.probe import probe

# as they are called for short
_NAMED = {
    "user-namespaces": "userns",
    "seccomp-notification": "seccomp-notify",
    "landlock": "landlock",
}


def machine_line() -> str:
    """``podsh: kernel ok (userns, seccomp-notify, landlock).``, or what there is to mend."""
    findings = probe()
    lacking = [finding.name for finding in findings if finding.ok is False]
    if lacking:
        return f"podsh: this machine lacks {', '.join(lacking)}; see doctor."
    there = ", ".join(_NAMED[each.name] for each in findings if each.name in _NAMED)
    return f"podsh: kernel ok ({there})."
