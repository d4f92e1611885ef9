#!/bin/sh
# setup.sh run|dev: makes .venv and installs podsh in it (editable), for dev also the tools of
# the tests. Does nothing where nothing changed. pip's index is the one that pip is set up for.
set -eu
umask 022 # ordinary users run what root has set up
cd "$(dirname "$0")/.."

kind=${1:-run}
case $kind in
run) what=. ;;
dev) what='.[dev]' ;;
*) echo "usage: setup.sh run|dev" >&2; exit 2 ;;
esac

fail() {
    echo "podsh: $*" >&2
    exit 1
}

# Can everybody execute this interpreter, and is it new enough? (Nobody but its owner reaches
# one below a 0700 home; a wrapper script names the real one itself.)
fits() { # INTERPRETER, reach|own
    "$1" -I - "$2" 2>/dev/null <<'PY'
import os, sys
import venv
real = os.path.realpath(sys.executable)
ok = sys.version_info >= (3, 11) and sys.prefix == sys.base_prefix
for place in (real, os.path.realpath(sys.base_prefix), os.path.realpath(os.__file__)):
    ok = ok and (sys.argv[1] == "own" or bool(os.stat(place).st_mode & 0o004))
    while ok and sys.argv[1] != "own" and place != "/":
        place = os.path.dirname(place)
        ok = bool(os.stat(place).st_mode & 0o001)
if ok:
    print(real)
sys.exit(not ok)
PY
}

find_python() { # reach|own
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        for place in /usr/bin /usr/local/bin; do
            [ -x "$place/$name" ] && fits "$place/$name" "$1" && return
        done
    done
    old_ifs=$IFS
    IFS=:
    for place in $PATH; do
        for name in python3.14 python3.13 python3.12 python3.11 python3; do
            [ -x "$place/$name" ] && fits "$place/$name" "$1" && IFS=$old_ifs && return
        done
    done
    IFS=$old_ifs
    return 1
}

choose_python() {
    find_python reach && return
    # an ordinary user's own will do for that user
    [ "$(id -u)" != 0 ] && find_python own
}

# ---------------------------------------------------------------- the virtual environment

bin=.venv/bin
healthy() { # executable, in this place, and with pip
    [ -x $bin/python ] && fits "$(readlink -f $bin/python)" \
        "$([ "$(id -u)" = 0 ] && echo reach || echo own)" >/dev/null &&
        $bin/python -m pip --version >/dev/null 2>&1 &&
        head -n 3 $bin/pip | grep -qF "$(pwd -P)/.venv/"
}

[ ! -d .venv ] || [ -w .venv ] ||
    fail "$(pwd)/.venv is out of date and not yours: its owner is to run \`make setup\`"

if ! healthy; then
    python=$(choose_python) || python=""
    .ci/packages.sh build "$python" || exit 1
    [ -n "$python" ] || python=$(choose_python) || fail "no usable Python found"
    echo "podsh: making .venv with $python"
    rm -rf .venv
    "$python" -m venv .venv || fail "could not make .venv in $(pwd)"
    # nothing here needs it, and its .pth file costs every start of podsh a millisecond
    $bin/python -m pip uninstall -q -y setuptools 2>/dev/null || true
fi

# ---------------------------------------------------------------- the package

wanted=$(cat pyproject.toml podsh/native/hatch_build.py .ci/setup.sh | cksum)
mark=.venv/.installed-$kind
if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ]; then
    .ci/packages.sh build "$(readlink -f $bin/python)" || exit 1
    echo "podsh: installing $([ "$kind" = dev ] && echo 'podsh and its development tools' ||
        echo podsh) into .venv"
    if ! $bin/python -m pip install -q --disable-pip-version-check --no-input -e "$what" \
        >.venv/pip.log 2>&1; then
        tail -n 15 .venv/pip.log >&2
        fail "pip could not install $what (above; all of it in .venv/pip.log). Offline? Everything" \
            "comes from the index that pip is set up for: $($bin/python -m pip config get \
                global.index-url 2>/dev/null || echo "${PIP_INDEX_URL:-https://pypi.org/simple}")"
    fi
    # pip's own script imports re, and -S leaves out what only few commands need: a third of the
    # time that podsh takes to start; and what -I leaves out (PYTHONPATH, the user's packages) is
    # not to decide what a sandbox runs
    place=$(pwd -P)/$bin
    case $place in
    *[[:space:]\"\\]*) ;; # a #! line, or the text below, cannot name it
    *)
        printf '#!%s/python -IS\nimport sys\n\nsys.path.append("%s")\n\n%s\n\nstart()\n' \
            "$place" "$(pwd -P)" "from podsh.cli import start" >$bin/podsh
        ;;
    esac
    echo "$wanted" >"$mark"
    # development tools are on top of podsh itself
    echo "$wanted" >.venv/.installed-run
else
    # only the native sources changed
    $bin/python podsh/native/build.py >/dev/null || fail "could not compile podsh/native"
fi
