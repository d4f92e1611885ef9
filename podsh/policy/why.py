"""``why``: the rule that decides about a path, and the one line that would turn it."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.policy import rules
from podsh.policy.access import DEV, EXEC, NOWHERE, SUID, Access, Where, split
from podsh.policy.engine import Decision, Verdict, step
from podsh.policy.events import rule_to_wire
from podsh.policy.state import Request, Rule

if TYPE_CHECKING:
    from podsh.policy.access import Mode
    from podsh.policy.domain import Domain
    from podsh.policy.state import State


class Change(NamedTuple):
    """One line to change: ``do`` is "add", "take out", "replace" (in the file of ``where``, at its
    line if there is one), or "run" (a command, no file). ``line``: what to write, or what goes."""

    do: str
    line: str
    where: Where = NOWHERE

    def __str__(self) -> str:
        at = f"{self.where}: " if self.where.file else ""
        return f"{at}{self.do} {self.line}"


class Why(NamedTuple):
    """``text``: the reason in words. ``change`` None: nothing turns it."""

    verdict: Verdict
    rule: Rule | None
    text: str
    change: Change | None


def why(state: State, path: str, mode: Mode = "read", pod: str = "POD") -> Why:
    """What ``step`` would say of the path now, and why. pod: its name, for commands to run."""
    request = Request(path, mode)
    verdict, rule, to, _ = decision = step(state, request)[1]
    if verdict == "allowed":
        return _allowed(state, request, pod)
    if rule and rule.key in ("hidden", "access.deny"):
        if rule.key == "hidden":
            return Why(verdict, rule, "podsh's own, hidden from every pod", None)
        text = f"profile {rule.domain!a} denies {rule.text!a}"
        return Why(verdict, rule, text, Change("take out", toml(rule.text), rule.where))
    if to:
        text = f"{'asks whether to move' if verdict == 'ask' else 'moves'} to {to!a}"
        return Why(verdict, rule, text, _stop(state, request))
    return Why(verdict, rule, _unlisted_text(decision), _open(state, request, pod))


def _allowed(state: State, request: Request, pod: str) -> Why:
    parts = split(request.path)
    shown = state.index.shown(parts, request.mode == "write") & state.candidates
    if request.mode == "connect" or shown != state.candidates:
        found = rules.grant(state, request)
        assert found
        text = f"{str(found)!a} was granted"
        run = Change("run", f"revoke {pod} {quote(found.path)}")
        return Why("allowed", Rule("grant", text=str(found), where=found.where), text, run)
    domain = _speaker(state)
    rule = rules.bind(domain, request)
    text = f"profile {domain.name!a} shows it"
    return Why("allowed", rule, text, _stop(state, request))


def _stop(state: State, request: Request) -> Change:
    """The line that makes it denied: ``deny`` comes before whatever shows it. Where a pod was
    started by command and several candidates allow it, each of them needs that line."""
    domain = _speaker(state)
    if not state.own:
        # every candidate that allows it can lead there; the first decides the wording
        parts = split(request.path)
        whose = state.index.shown(parts, request.mode == "write") & state.candidates
        domain = next(state.index.members(whose), domain)
    return Change("add", f"[access] deny = [{toml(request.path)}]", Where(domain.file))


def _open(state: State, request: Request, pod: str) -> Change:
    """The line that makes it allowed."""
    if request.mode == "connect":
        return Change("run", f"mount {pod} {quote(request.path)}")
    domain = _speaker(state)
    write = request.mode == "write"
    for access in domain.accesses:
        # a line of another file is left alone: an own line for that path replaces it
        if access.path == request.path and access.where.file == domain.file:
            return Change("replace", bind_line(access, write or access.write), access.where)
    line = bind_line(Access.of(request.path), write)
    return Change("add", f"[fs] bind = [{line}]", Where(domain.file))


def bind_line(access: Access, write: bool) -> str:
    """An entry of ``[fs] bind``, with the flags of ``access``."""
    words = [f"path = {toml(access.path)}"]
    words += ["write = true"] if write else []
    words += ["exec = false"] if not access.perms & EXEC else []
    words += ["suid = true"] if access.perms & SUID else []
    words += ["dev = true"] if access.perms & DEV else []
    return f"{{ {', '.join(words)} }}"


def _unlisted_text(decision: Decision) -> str:
    rule = decision.rule
    assert rule
    if rule.key == "access.ask":
        return f"profile {rule.domain!a} asks about {rule.text!a}"
    does = "denied" if decision.verdict == "deny" else "asked about"
    said = f"by unlisted of profile {rule.domain!a}" if rule.text else "by default"
    return f"no profile of this pod shows it; it is {does} {said}"


def _speaker(state: State) -> Domain:
    """The profile whose file is to be changed."""
    return state.own or next(state.index.members(state.candidates))


def to_wire(found: Why) -> dict[str, Any]:
    """JSON-able; ``change`` is None or ``do``, ``line``, and ``file`` and ``at`` (its line)."""
    change = None
    if found.change is not None:
        file, at = found.change.where
        change = {"do": found.change.do, "line": found.change.line, "file": file, "at": at}
    rule = rule_to_wire(found.rule) if found.rule is not None else None
    return {"verdict": found.verdict, "text": found.text, "rule": rule, "change": change}


def toml(text: str) -> str:
    """A basic string of TOML."""
    safe = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in safe) + '"'
