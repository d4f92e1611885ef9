"""The console's completion: the registry's candidates as prompt_toolkit wants them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from prompt_toolkit.completion import Completer, Completion

from podsh.commands.files import paths_of_pods
from podsh.commands.pods import state_words
from podsh.commands.quoting import quoted
from podsh.console.asking import brief
from podsh.console.complete import candidates, local_source, unfinished
from podsh.console.render import show_text
from podsh.errors import Disconnected, PodshError
from podsh.portal.client import connect_running
from podsh.wire.messages import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from podsh.commands.context import Context
    from podsh.console.feed import Feed
    from podsh.portal.client import Client

_PROFILES_S = 5.0


class Surroundings(Protocol):
    """What completion looks at: the console."""

    context: Context
    feed: Feed


class RegistryCompleter(Completer):
    """Runs in prompt_toolkit's thread; asks the portal for profiles on a connection of its own."""

    def __init__(self, console: Surroundings) -> None:
        self._console = console
        self._client: Client | None = None
        self._profiles: list[tuple[str, str]] = []
        self._asked = 0.0

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        words, typed = unfinished(document.text_before_cursor)
        for value, text in candidates(words, self._source):
            # a directory may be gone into; everything else is a whole word
            end = "" if value.endswith(("/", "=", ":")) else " "
            yield Completion(
                quoted(value) + end,
                start_position=-len(typed),
                display=show_text(value),
                display_meta=show_text(text),
            )

    def _source(self, tag: str, prefix: str) -> list[tuple[str, str]]:
        if tag in ("pod", "live"):
            return [
                (str(pod["name"]), state_words(pod))
                for pod in self._console.feed.pods or ()
                if tag == "pod" or pod.get("state") in LIVE
            ]
        if tag == "podpath":
            found = paths_of_pods(prefix, self._source("pod", ""), self._portal)
            return found + local_source("path", prefix)
        if tag == "request":
            return [(str(row["id"]), brief(row)) for row in self._console.feed.requests]
        if tag == "profile":
            return self._profile_names()
        if tag == "variable":
            return [(name, "") for name in self._console.context.variables]
        return local_source(tag, prefix)

    def _profile_names(self) -> list[tuple[str, str]]:
        if time.monotonic() - self._asked > _PROFILES_S:
            try:
                found = self._portal().call("profiles")["profiles"]
                self._profiles = [(str(p["name"]), str(p["description"] or "")) for p in found]
                self._asked = time.monotonic()
            except PodshError:
                self.close()
        return self._profiles

    def _portal(self) -> Client:
        """The one that runs; Disconnected where there is none."""
        if self._client is not None and (self._client.closed or self._client.hung_up()):
            self.close()
        if self._client is None:
            self._client = connect_running()
        if self._client is None:
            raise Disconnected("is not running", place="the portal")
        return self._client
