#!/bin/sh
# packages.sh build|test [PYTHON]: sees to what must come from the system.
# Each need is tried, not looked up in a package database. What is missing is installed as root
# (Debian's names), else the one command that does it is printed. Exit 1: something is missing.
set -u

missing=""
words=""
need() { # PACKAGE WHAT TEST…
    package=$1 what=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        missing="$missing $package"
        words="$words
  $what ($package)"
    fi
}

includes() { # HEADER [DIRECTORY]
    echo "#include <$1>" | "${CC:-cc}" ${2:+-I"$2"} -E -x c - -o /dev/null
}

links_static() {
    scratch=$(mktemp) && echo 'int main(void){return 0;}' | "${CC:-cc}" -static -x c - -o "$scratch"
    status=$?
    rm -f "$scratch"
    return "$status"
}

a_vim() { command -v vim || command -v vim.tiny; }
static_busybox() { busybox true && ! ldd "$(command -v busybox)"; }

check() {
    missing="" words=""
    case $kind in
    build)
        need gcc "a C compiler" command -v "${CC:-cc}"
        need libc6-dev "the C library's headers and static archive" links_static
        need libcap-dev "sys/capability.h, for python-prctl" includes sys/capability.h
        if [ -n "$python" ]; then
            need python3-venv "Python's venv and ensurepip" "$python" -c 'import ensurepip, venv'
            need python3-dev "Python.h, for python-prctl" includes Python.h \
                "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
            need libseccomp2 "libseccomp.so.2" "$python" -c \
                'import ctypes; ctypes.CDLL("libseccomp.so.2")'
        else
            need "python3 python3-venv python3-dev libseccomp2" \
                "Python 3.11 or newer that ordinary users can execute" false
        fi
        ;;
    test)
        need tmux "tmux" command -v tmux
        need htop "htop" command -v htop
        need less "less" command -v less
        need vim-tiny "vim" a_vim
        need git "git" git --version
        need bubblewrap "bwrap" command -v bwrap
        need dtach "dtach" command -v dtach
        need busybox-static "a static busybox" static_busybox
        need musl-tools "musl-gcc" command -v musl-gcc
        need graphviz "dot" command -v dot
        need iproute2 "ip" command -v ip
        need passt "pasta" command -v pasta
        need slirp4netns "slirp4netns" command -v slirp4netns
        need tcpdump "tcpdump" command -v tcpdump
        need zsh "zsh" command -v zsh
        need fish "fish" command -v fish
        need bash-completion "bash-completion" test -r /usr/share/bash-completion/bash_completion
        need man-db "man" command -v man
        need groff "groff" command -v groff
        need mandoc "mandoc" command -v mandoc
        need xvfb "Xvfb" command -v Xvfb
        need xserver-xephyr "Xephyr" command -v Xephyr
        need xauth "xauth" command -v xauth
        need x11-utils "xdpyinfo" command -v xdpyinfo
        need x11-apps "xeyes" command -v xeyes
        need xdotool "xdotool" command -v xdotool
        need weston "weston" command -v weston
        need wayland-utils "wayland-info" command -v wayland-info
        ;;
    *)
        echo "usage: packages.sh build|test [PYTHON]" >&2
        exit 2
        ;;
    esac
}

kind=${1-} python=${2-}
check
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "podsh: installing from the system's packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086 # a list of names
    if apt-get -q -o DPkg::Lock::Timeout=120 update >"$log" 2>&1 &&
        apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing \
            >>"$log" 2>&1; then
        rm -f "$log"
        # a new interpreter has to be looked for again, by the caller
        [ -n "$python" ] || [ "$kind" = test ] || exit 0
        check
        [ -n "$missing" ] || exit 0
    else
        tail -n 5 "$log" >&2
        rm -f "$log"
        echo "podsh: apt-get failed (no network?)" >&2
    fi
fi

{
    echo "podsh: missing:$words"
    echo "Install them with:"
    echo
    echo "    sudo apt-get install$missing"
    echo
    echo "(Debian's and Ubuntu's names), then run make again."
} >&2
exit 1
