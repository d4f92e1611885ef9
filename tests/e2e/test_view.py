"""What a pod sees of the host, and what it keeps of its own."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh


def test_nothing_outside_the_whitelist_exists(podsh: Podsh) -> None:
    podsh.file(podsh.home / "private", "secret")
    done = podsh.pod("sh", "-c", f"cat {podsh.home}/private; ls /; ls {podsh.base}")
    assert "secret" not in done.out
    assert "No such file" in done.err
    assert not {"root", "srv", "mnt", "boot", "work"} & set(done.out.split())


def test_read_only_and_read_write(podsh: Podsh) -> None:
    data = podsh.directory("data")
    podsh.file(data / "f", "old")
    ro = podsh.pod("sh", "-c", f"cat {data}/f; echo new > {data}/f", options=("--ro", str(data)))
    assert ro.out == "old"
    assert "Read-only file system" in ro.err
    rw = podsh.pod("sh", "-c", f"echo new > {data}/f", options=("--rw", str(data)))
    assert rw.code == 0, rw.err
    assert (data / "f").read_text() == "new\n"


def test_links_on_the_way_hold_in_the_pod(podsh: Podsh) -> None:
    real = podsh.directory("real/place")
    podsh.file(real / "f", "through\n")
    (podsh.base / "link").symlink_to("real")
    done = podsh.pod(
        "cat", f"{podsh.base}/link/place/f", options=("--ro", f"{podsh.base}/link/place")
    )
    assert done.out == "through\n", done.err


def test_home_is_the_pods_own_and_kept_with_its_name(podsh: Podsh) -> None:
    podsh.run("run", "-n", "keeper", "--", "sh", "-c", "echo kept > ~/note")
    assert not (podsh.home / "note").exists()
    assert podsh.run("run", "-n", "keeper", "--", "cat", str(podsh.home / "note")).out == "kept\n"
    podsh.run("rm", "keeper")
    assert podsh.run("run", "-n", "keeper", "--", "sh", "-c", "ls ~/note").code != 0


def test_unnamed_pods_keep_nothing(podsh: Podsh) -> None:
    podsh.pod("sh", "-c", "echo x > ~/note")
    assert podsh.pod("sh", "-c", "ls -A ~").out == ""


def test_tmp_and_shm_are_fresh_and_writable(podsh: Podsh) -> None:
    podsh.file(podsh.base / "there", "")
    script = "find /tmp /dev/shm -type f; echo a > /tmp/x && echo b > /dev/shm/y"
    done = podsh.pod("sh", "-c", script)
    assert done.out == ""
    assert done.code == 0


def test_root_of_the_pod_is_read_only(podsh: Podsh) -> None:
    done = podsh.pod("sh", "-c", "mkdir /new; touch /etc/new; touch /dev/new; touch /run/new")
    assert done.err.count("Read-only file system") == 4, done.err


def test_devices_work(podsh: Podsh) -> None:
    script = (
        "echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c;"
        "head -c 4 /dev/zero > /dev/full; ls /dev"
    )
    done = podsh.pod("sh", "-c", script)
    assert done.out.split()[:2] == ["4", "4"]
    assert "No space left" in done.err
    devices = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert sorted(done.out.split()[2:]) == devices.split()


def test_networks(podsh: Podsh) -> None:
    script = "cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /sys/class/net/lo/flags"
    none = podsh.pod("python3", "-c", PING_LOOPBACK)
    assert "unreachable" in none.out
    loop = podsh.pod("python3", "-c", PING_LOOPBACK, options=("--net", "loop"))
    assert loop.out == "talked\n", loop.err
    own = podsh.pod("sh", "-c", script, options=("--net", "loop"))
    assert own.out.split() == ["lo"]
    host = podsh.pod("readlink", "/proc/self/ns/net", options=("--net", "host"))
    assert host.out.strip() == os.readlink("/proc/self/ns/net")


PING_LOOPBACK = """
import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)) if 0 else None
try:
    s.bind(("127.0.0.1", 0)); s.listen(); c = socket.create_connection(s.getsockname(), 2)
    print("talked")
except OSError as e:
    print(e.strerror.lower())
"""


def test_pid_one_shows_nothing_of_the_launcher(podsh: Podsh) -> None:
    script = "cat /proc/1/environ /proc/1/cmdline | tr '\\0' ' '; cat /proc/1/maps; ls /proc/1/cwd"
    done = podsh.pod("sh", "-c", script, env={"SECRET": "s3cret"})
    assert "s3cret" not in done.out
    assert str(podsh.base) not in done.out
    assert "Permission denied" in done.err


def test_identity_is_the_callers_and_capabilities_are_none(podsh: Podsh) -> None:
    done = podsh.pod(
        "sh",
        "-c",
        "id -u; grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status",
    )
    lines = done.out.split("\n")
    assert lines[0] == str(podsh.caller.uid)
    values = dict(line.split(":\t") for line in lines[1:] if line)
    assert {values[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (values["NoNewPrivs"], values["Seccomp"]) == ("1", "2")


def test_proc_is_guarded_for_root_too(podsh: Podsh) -> None:
    done = podsh.pod("sh", "-c", "echo x > /proc/sys/kernel/core_pattern; cat /proc/timer_list")
    assert done.err.count("Read-only") + done.err.count("Permission denied") == 2, done.err
    assert done.out == ""


def test_masked_directory_is_empty_and_cannot_be_moved_aside(podsh: Podsh) -> None:
    secret = podsh.directory("proj/a/secret")
    podsh.file(secret / "key", "topsecret")
    project = podsh.base / "proj"
    podsh.profile(
        "masked",
        'name = "masked"\nextends = ["base"]\n[access]\ndomain = false\n'
        f'deny = ["{secret}"]\n[[fs.bind]]\npath = "{project}"\nwrite = true\n',
    )
    tries = ("cat a/secret/key", "ls a/secret", "os.rename a b", "os.rename a/secret c")
    tries += ("rmdir a/secret", "rm -rf a", "mkdir -p a/secret/x")
    script = "import os, sys, subprocess\n"
    for attempt in tries:
        words = attempt.split()
        if words[0] == "os.rename":
            script += f"try: os.rename(*{words[1:]}); print('renamed')\n"
            script += "except OSError as e: print(e.strerror)\n"
        else:
            script += f"print(subprocess.run({words}, capture_output=True).returncode != 0)\n"
    argv = ("run", "--rm", "-p", "masked", "--", "python3", "-c", script)
    done = podsh.run(*argv, cwd=project)
    busy = "Device or resource busy"
    refused_each = ["True", "True", busy, "Invalid cross-device link", "True", "True", "True"]
    assert done.out.splitlines() == refused_each, done
    assert (secret / "key").read_text() == "topsecret"
    assert sorted(path.name for path in project.iterdir()) == ["a"]
    refused = podsh.run("run", "-p", "masked", "--ro", str(secret), "--", "true")
    assert refused.code in (2, 125)
    assert "hidden from every pod" in refused.err


def test_podshs_own_directories_are_hidden_below_a_bind(podsh: Podsh) -> None:
    script = f"ls -A {podsh.base}/run/podsh {podsh.base}/state/podsh {podsh.base}/cache/podsh"
    done = podsh.pod("sh", "-c", script, options=("--rw", str(podsh.base)))
    assert done.err.count("Permission denied") == 3, done
    assert not [line for line in done.out.split() if not line.endswith(":")]


@pytest.mark.skipif(os.getuid() != 0, reason="mounting on the host needs root")
def test_sub_mounts_come_along_read_only_all_the_way(podsh: Podsh) -> None:
    outer = podsh.directory("outer/inner")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(outer)], check=True)
    try:
        (outer / "deep").write_text("seen\n")
        (outer / "deep").chmod(0o666)
        outer.chmod(0o777)
        script = f"cat {outer}/deep; echo changed > {outer}/deep; touch {outer}/new"
        done = podsh.pod("sh", "-c", script, options=("--ro", str(outer.parent)))
        assert done.out == "seen\n"
        assert done.err.count("Read-only file system") == 2, done.err
        assert (outer / "deep").read_text() == "seen\n"
    finally:
        subprocess.run(["umount", str(outer)], check=True)


def test_pod_file_part(podsh: Podsh) -> None:
    data = podsh.directory("home/data")
    podsh.file(data / "f", "shared\n")
    podsh.file(
        podsh.base / "old.pod",
        "# a jettison pod\r\n"
        "file rx /usr\nfile rwx /etc\nfile rx /bin\nfile rx /lib\nfile rx /lib64\nhome rw /data  \n"
        "home_exec\ntmp_exec\nnewpts\nmachine-id\nnewnet\tnone\n",
    )
    script = (
        "cat /podhome/data/f; echo $HOME; echo kept >> /podhome/note; cat /podhome/note;"
        "wc -c < /etc/machine-id; touch /etc/x; cp /bin/true /podhome/t && /podhome/t && echo ran"
    )
    argv = ("run", "--rm", "-n", "old", "-p", str(podsh.base / "old.pod"), "--", "sh", "-c", script)
    done = podsh.run(*argv[:1], *argv[2:])
    assert done.out == "shared\n/podhome\nkept\n33\nran\n", done.err
    assert "Read-only file system" in done.err
    assert "/etc" in done.err  # the note that w is not given there
    again = podsh.run(*argv[:1], *argv[2:])
    assert "kept\nkept\n" in again.out


def test_pod_file_noproc_and_no_exec(podsh: Podsh) -> None:
    podsh.file(
        podsh.base / "bare.pod",
        "file rx /usr\nfile rx /bin\nfile rx /lib\nfile rx /lib64\nnoproc\nnewnet none\n",
    )
    script = "ls /proc; cp /bin/true /podhome/t; /podhome/t; cp /bin/true /tmp/t; /tmp/t"
    done = podsh.run("run", "--rm", "-p", str(podsh.base / "bare.pod"), "--", "sh", "-c", script)
    assert done.err.count("Permission denied") == 2, done.err
    assert "/proc" in done.err


def test_a_thousand_binds(podsh: Podsh) -> None:
    folder = podsh.directory("thousand")
    for number in range(1000):
        (folder / f"f{number}").touch()
    text = 'extends = "base"\n[access]\ndomain = false\n'
    binds = "".join(f'[[fs.bind]]\npath = "{folder}/f{number}"\n' for number in range(1000))
    podsh.profile("thousand", text + binds)
    # what is only on the way cannot be listed
    script = f"n=0; for i in $(seq 0 999); do test -f {folder}/f$i && n=$((n+1)); done; echo $n"
    assert podsh.pod("sh", "-c", script, options=("-p", "thousand")).out == "1000\n"
