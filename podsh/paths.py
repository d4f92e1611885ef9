"""Where podsh keeps things: runtime sockets, state, configuration, cache, shipped data."""

from __future__ import annotations

import os
import stat
import sys

from podsh.errors import UsageError


def _xdg(variable: str, default: str) -> str:
    """An XDG base directory (XDG Base Directory Specification 0.8: relative ones are ignored)."""
    value = os.environ.get(variable, "")
    base = value if value.startswith("/") else os.path.expanduser(default)
    if not base.startswith("/"):
        raise UsageError("no home directory is known", place="HOME", hint=f"set HOME or {variable}")
    return os.path.join(base, "podsh")


def config_dir() -> str:
    """``~/.config/podsh``; may not exist."""
    return _xdg("XDG_CONFIG_HOME", "~/.config")


def state_dir() -> str:
    """``~/.local/state/podsh``: pods' homes, logs, audit; may not exist."""
    return _xdg("XDG_STATE_HOME", "~/.local/state")


def cache_dir() -> str:
    """``~/.cache/podsh``: compiled filters; may not exist."""
    return _xdg("XDG_CACHE_HOME", "~/.cache")


def runtime_dir() -> str:
    """The directory of podsh's sockets: $XDG_RUNTIME_DIR/podsh, else /tmp/podsh-UID.

    Made 0700 if missing. Raises UsageError where it is not the caller's own directory.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    path = os.path.join(base, "podsh") if base.startswith("/") else f"/tmp/podsh-{os.getuid()}"
    try:
        own_dir(path)
    except OSError as exc:
        raise UsageError(
            f"cannot make the runtime directory: {exc.strerror}",
            place=path,
            hint="set XDG_RUNTIME_DIR to a directory of your own",
        ) from None
    return path


def own_dir(path: str) -> None:
    """Make ``path`` (0700) with its parents, or check that it is a directory of the caller's own.

    Raises UsageError for a link, another's directory, or one that others may enter.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError("is not a directory", place=path, hint="remove it")
    if found.st_uid != os.getuid():
        raise UsageError(f"belongs to uid {found.st_uid}", place=path, hint="remove it")
    if found.st_mode & 0o077:
        os.chmod(path, 0o700)


def package_dir() -> str:
    """The directory of the podsh package."""
    return os.path.dirname(os.path.abspath(__file__))


def shared(kind: str) -> str:
    """A shipped data directory (``profiles``, ``completions``), of a checkout or installed."""
    package = package_dir()
    beside = os.path.join(os.path.dirname(package), kind)
    if os.path.isfile(os.path.join(os.path.dirname(package), "pyproject.toml")):
        return beside
    return os.path.join(package, "share", kind)


def init_binary() -> str:
    """The static init that makes the namespaces (built with the package)."""
    return os.path.join(package_dir(), "native", "podsh-init")


def shim_library() -> str:
    """The library that programs of pods preload (built with the package)."""
    return os.path.join(package_dir(), "native", "podsh-shim.so")


def lines_library() -> str:
    """The library that programs preload whose output is kept (built with the package)."""
    return os.path.join(package_dir(), "native", "podsh-lines.so")


def monitor_library() -> str:
    """The library of monitors: shared memory, quick answers (built with the package)."""
    return os.path.join(package_dir(), "native", "podsh-monitor.so")


def own_paths() -> tuple[str, ...]:
    """What no pod may see: state, configuration, cache, runtime, code, the shipped profiles (a pod
    that could write them would decide what the next one sees), virtual environment."""
    paths = [runtime_dir(), state_dir(), config_dir(), cache_dir(), package_dir()]
    if not shared("profiles").startswith(package_dir() + "/"):
        paths.append(shared("profiles"))
    if sys.prefix != sys.base_prefix:
        paths.append(sys.prefix)
    return tuple(paths)
