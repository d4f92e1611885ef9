"""Builds ``podsh-init``, the static init; used by the build backend and by ``make``.

Stands alone: run by path, before podsh can be imported (``python podsh/native/build.py``).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

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


class BuildError(Exception):
    """The init cannot be compiled here; the text says why and what to install."""


def compiler() -> list[str]:
    """The C compiler's command: $CC, else the first of cc, gcc, clang that is there."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise BuildError(
        "no C compiler: podsh's init is a small C program; "
        "install gcc (Debian: apt install gcc libc6-dev) or set CC"
    )


def build(directory: str, asan: bool = False) -> str:
    """Compile ``directory``/init/*.c to ``directory``/podsh-init unless it is newer; its path.

    ``asan``: to podsh-init-asan instead, with AddressSanitizer and UBSan, dynamic, and with
    the verb ``check`` of the parser's tests. Raises BuildError.
    """
    source_dir = os.path.join(directory, "init")
    names = sorted(os.listdir(source_dir))
    sources = [os.path.join(source_dir, name) for name in names if name.endswith(".c")]
    inputs = [os.path.join(source_dir, name) for name in names if name.endswith((".c", ".h"))]
    target = os.path.join(directory, "podsh-init-asan" if asan else "podsh-init")
    newest = max(os.stat(path).st_mtime_ns for path in [*inputs, __file__])
    try:
        if os.stat(target).st_mtime_ns > newest:
            return target
    except FileNotFoundError:
        pass
    # under a name of its own until it is whole: several may build at once
    fresh = f"{target}.{os.getpid()}"
    flags = shlex.split(f"{COMMON} {ASAN if asan else STATIC}")
    command = [*compiler(), *flags, "-o", fresh, *sources]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise BuildError(f"{command[0]}: {exc.strerror}; set CC to a C compiler") from None
    if done.returncode:
        text = done.stderr.strip()
        if not asan and ("cannot find -lc" in text or "unable to find library -lc" in text):
            text += (
                "\nno static C library: install it "
                "(Debian: apt install libc6-dev, Fedora: dnf install glibc-static)"
            )
        raise BuildError(f"{shlex.join(command)}\n{text}")
    os.chmod(fresh, 0o755)
    os.rename(fresh, target)
    return target


def main() -> int:
    """``build.py [--asan]``: build beside this file."""
    try:
        print(build(os.path.dirname(os.path.abspath(__file__)), asan="--asan" in sys.argv[1:]))
    except BuildError as exc:
        print(f"build.py: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
