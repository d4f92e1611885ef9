"""Builds ``podsh-init``, the static init, ``podsh-shim.so``, which programs of pods preload,
``podsh-lines.so``, which those preload whose output is kept, and ``podsh-monitor.so``, which
monitors load.

Used by the build backend and by ``make``.

Stands alone: run by path, before podsh can be imported (``python podsh/native/build.py``).
"""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import subprocess
import sys
from typing import Any

WARNINGS = (
    "-Wall -Wextra -Werror -Wshadow -Wformat=2 -Wconversion -Wstrict-prototypes "
    "-Wmissing-prototypes -Wvla -Wundef -Wpointer-arith -Wwrite-strings"
)
COMMON = f"-std=gnu11 -D_GNU_SOURCE -fno-strict-aliasing {WARNINGS}"
STATIC = "-Os -static -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wl,-z,noexecstack -s"
ASAN = (
    "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer "
    "-DPODSH_CHECKS"
)
# needs nothing, and lets the programs that load it see nothing but its hooks
SHIM = (
    "-O2 -shared -fPIC -nostdlib -ffreestanding -fvisibility=hidden -fno-stack-protector "
    "-Wl,-Bsymbolic,-z,defs,-z,relro,-z,now,-z,noexecstack,-soname,podsh-shim.so -s"
)
MONITOR = "-O2 -shared -fPIC -fvisibility=hidden -Wl,-z,relro,-z,now,-z,noexecstack -s"
LINES = (
    "-O2 -shared -fPIC -nostdlib -ffreestanding -fvisibility=hidden -fno-stack-protector "
    "-Wl,-Bsymbolic-functions,-z,relro,-z,now,-z,noexecstack,-soname,podsh-lines.so -s"
)
# what it shares with the filter and the monitor; by its path, as this file is run
SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kernel", "shim.py")


class BuildError(Exception):
    """The native parts cannot be compiled here; the text says why and what to install."""


def compiler() -> list[str]:
    """The C compiler's command: $CC, else the first of cc, gcc, clang that is there."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise BuildError(
        "no C compiler: podsh's init and its libraries are small C programs; "
        "install gcc (Debian: apt install gcc libc6-dev) or set CC"
    )


def build(directory: str, asan: bool = False) -> str:
    """Compile ``directory``/init/*.c to ``directory``/podsh-init unless it is newer; its path.

    ``asan``: to podsh-init-asan instead, with AddressSanitizer and UBSan, dynamic, and with
    the verb ``check`` of the parser's tests. Raises BuildError.
    """
    target = os.path.join(directory, "podsh-init-asan" if asan else "podsh-init")
    shared = _shared()
    defines = [
        f'-DPODSH_KAGE_SOCKET="{shared["KAGE_SOCKET"]}"',
        f"-DPODSH_COOKIE={shared['COOKIE']:#x}ul",
    ]
    flags = [*shlex.split(ASAN if asan else STATIC), *defines]
    return _compiled(os.path.join(directory, "init"), target, flags, [__file__, SHARED])


def build_shim(directory: str, target: str = "", generation: str = "") -> str:
    """Compile ``directory``/shim/*.c to podsh-shim.so there unless it is newer; its path.

    ``target``: another name for it. ``generation``: the path of its page, not that of a pod's.
    Raises BuildError.
    """
    shared = _shared()
    path = generation or shared["GENERATION"]
    defines = [f"-DPODSH_COOKIE={shared['COOKIE']:#x}ul", f'-DPODSH_GENERATION="{path}"']
    target = target or os.path.join(directory, "podsh-shim.so")
    flags = [*shlex.split(SHIM), *defines]
    return _compiled(os.path.join(directory, "shim"), target, flags, [__file__, SHARED])


def build_monitor(directory: str) -> str:
    """Compile ``directory``/monitor/*.c to podsh-monitor.so there unless it is newer; its path.

    Raises BuildError.
    """
    target = os.path.join(directory, "podsh-monitor.so")
    return _compiled(os.path.join(directory, "monitor"), target, shlex.split(MONITOR), [__file__])


def build_lines(directory: str) -> str:
    """Compile ``directory``/lines/*.c to podsh-lines.so there unless it is newer; its path.

    Raises BuildError.
    """
    target = os.path.join(directory, "podsh-lines.so")
    return _compiled(os.path.join(directory, "lines"), target, shlex.split(LINES), [__file__])


def _shared() -> dict[str, Any]:
    return runpy.run_path(SHARED)


def _compiled(source_dir: str, target: str, flags: list[str], others: list[str]) -> str:
    names = sorted(os.listdir(source_dir))
    sources = [os.path.join(source_dir, name) for name in names if name.endswith(".c")]
    inputs = [os.path.join(source_dir, name) for name in names if name.endswith((".c", ".h"))]
    newest = max(os.stat(path).st_mtime_ns for path in [*inputs, *others])
    try:
        if os.stat(target).st_mtime_ns > newest:
            return target
    except FileNotFoundError:
        pass
    # under a name of its own until it is whole: several may build at once
    fresh = f"{target}.{os.getpid()}"
    command = [*compiler(), *shlex.split(COMMON), *flags, "-o", fresh, *sources]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise BuildError(f"{command[0]}: {exc.strerror}; set CC to a C compiler") from None
    if done.returncode:
        text = done.stderr.strip()
        if "-static" in flags and (
            "cannot find -lc" in text or "unable to find library -lc" in text
        ):
            text += (
                "\nno static C library: install it "
                "(Debian: apt install libc6-dev, Fedora: dnf install glibc-static)"
            )
        raise BuildError(f"{shlex.join(command)}\n{text}")
    os.chmod(fresh, 0o755)
    os.rename(fresh, target)
    return target


def main() -> int:
    """``build.py [--asan]``: build beside this file; with ``--asan``, only the init for tests."""
    here = os.path.dirname(os.path.abspath(__file__))
    asan = "--asan" in sys.argv[1:]
    try:
        if not asan:
            print(build_shim(here))
            print(build_monitor(here))
            print(build_lines(here))
        print(build(here, asan=asan))
    except BuildError as exc:
        print(f"build.py: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
