"""The console's first line: what this machine's kernel has of what podsh wants."""

from __future__ import annotations

from podsh.kernel.probe import probe
from podsh.wire.messages import VERSION


def machine_line() -> str:
    """``podsh: kernel ok (user namespaces, …).``, or how many findings there are to mend."""
    lacking = [finding.name for finding in probe() if finding.ok is False]
    if not lacking:
        return f"podsh {VERSION}: kernel ok."
    return f"podsh {VERSION}: this machine lacks {', '.join(lacking)}; see doctor."
