"""The line below the prompt, and where the attention key goes from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podsh.console import asking
from podsh.console.render import show
from podsh.wire import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import Application
    from prompt_toolkit.layout import Layout

# pods that a person looked at, the last of which is gone back to
_KEPT = 50


def toolbar(
    pods: list[dict[str, Any]] | None,
    waiting: list[dict[str, Any]],
    back: str | None,
    now: float,
    key: str = "C-]",
) -> str:
    """`` 3 pods  2 waiting (web 0:12)  C-] web ``; back: where the attention key goes."""
    if pods is None:
        return " no portal "
    live = sum(pod.get("state") in messages.LIVE for pod in pods)
    parts = [f"{live} pod{'' if live == 1 else 's'}"]
    if waiting:
        parts.append(f"{len(waiting)} waiting ({asking.longest(waiting, now)})")
    if back is not None:
        parts.append(f"{key} {show(back, 24)}")
    return f" {'  '.join(parts)} "


class Visited:
    """The pods that the person looked at, the last one last."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def add(self, name: str | None) -> None:
        if name is not None:
            self._names = [*(n for n in self._names if n != name), name][-_KEPT:]

    def back_to(self, pods: Sequence[dict[str, Any]]) -> str | None:
        """The last one of ``pods`` that lives; else the only one that does; else none."""
        live = [str(pod["name"]) for pod in pods if pod.get("state") in messages.LIVE]
        for name in reversed(self._names):
            if name in live:
                return name
        return live[0] if len(live) == 1 else None


def keep_below(session: PromptSession[str], toolbar: Callable[[], str]) -> None:
    """Give a prompt its toolbar, which is not left behind where something is printed below the
    line that is typed: the candidates of a Tab."""
    draw = session.app.renderer.render

    def render(app: Application[Any], layout: Layout, is_done: bool = False) -> None:
        session.bottom_toolbar = None if is_done else toolbar
        draw(app, layout, is_done)

    session.bottom_toolbar = toolbar
    session.app.renderer.render = render  # type: ignore[method-assign]
