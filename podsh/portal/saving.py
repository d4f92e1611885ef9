"""A rule that a person wants to keep, written into a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podsh.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podsh.portal.pods import Pod
    from podsh.profiles.find import Library


def save_rule(
    library: Library, pod: Pod, row: Mapping[str, Any], path: str, mode: str, profile: str | None
) -> Callable[[], str]:
    """What writes the rule ``mode path`` when it is called, and says where: ``file:line``.

    Called before the monitor is told: all that could be wrong is found here, nothing written yet.
    row: the request. profile: the one to write, None where the person named none. Raises
    UsageError.
    """
    raise UsageError("not in this version of podsh", place="--save", hint="allow it with --pod")
