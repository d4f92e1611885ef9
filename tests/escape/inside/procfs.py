"""What /proc gives away, and what it lets one change."""

from __future__ import annotations

import os

from tools import call, facts, opens, read


def _others() -> list[str]:
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]


def init_environ() -> bytes:
    """The launching environment (bubblewrap's PID 1 shows it)."""
    return read("/proc/1/environ")


def init_arguments() -> bytes:
    """PID 1's command line beyond its name: what launched it, paths of the host."""
    return read("/proc/1/cmdline").strip(b"\0").removeprefix(b"podsh-init")


def init_root() -> list[str]:
    """PID 1's root directory, as a way into another one."""
    return os.listdir("/proc/1/root")


def init_directory() -> list[str]:
    return os.listdir("/proc/1/cwd")


def init_descriptors() -> list[str]:
    """Where PID 1's descriptors lead (their numbers are no secret to root)."""
    return [os.readlink(f"/proc/1/fd/{fd}") for fd in os.listdir("/proc/1/fd")]


def init_descriptor_open() -> bool:
    """One of them, opened anew."""
    failure = OSError()
    for fd in os.listdir("/proc/1/fd"):
        try:
            return opens(f"/proc/1/fd/{fd}", os.O_RDONLY)
        except OSError as exc:
            failure = exc
    raise failure


def init_descriptor_info() -> list[str]:
    return os.listdir("/proc/1/fdinfo")


def init_executable() -> bool:
    """podsh's own program, opened as runc's was to be overwritten (CVE-2019-5736)."""
    return opens("/proc/1/exe", os.O_RDONLY)


def init_memory() -> bool:
    return opens("/proc/1/mem", os.O_RDWR)


def init_maps() -> bytes:
    return read("/proc/1/maps")


def init_namespaces() -> str:
    return os.readlink("/proc/1/ns/mnt")


def init_auxv() -> bytes:
    return read("/proc/1/auxv")


def init_stack() -> bytes:
    return read("/proc/1/syscall")


def other_processes() -> list[str]:
    """Processes that belong to no program of this pod."""
    mine = {"1", str(os.getppid())}
    return [pid for pid in _others() if pid not in mine]


def _writable(path: str) -> bool:
    return opens(path, os.O_WRONLY)


def sys_core_pattern() -> bool:
    """Root without capabilities still owns this file; what it names runs on the host as root."""
    return _writable("/proc/sys/kernel/core_pattern")


def sys_modprobe() -> bool:
    return _writable("/proc/sys/kernel/modprobe")


def sys_hostname() -> bool:
    return _writable("/proc/sys/kernel/hostname")


def sys_pid_max() -> bool:
    """The pod's own limit, set by podsh."""
    return _writable("/proc/sys/kernel/pid_max")


def sys_user_namespaces() -> bool:
    return _writable("/proc/sys/user/max_user_namespaces")


def sys_remount() -> bool:
    """Make /proc/sys writable first (outside it is no mount, /proc is)."""
    path = b"/proc/sys" if facts["inside"] else b"/proc"
    call("mount", b"none", path, None, 0x20 | 0x1000, None)  # MS_REMOUNT | MS_BIND
    return True


def sysrq_trigger() -> bool:
    return _writable("/proc/sysrq-trigger")


def irq_affinity() -> bool:
    return _writable("/proc/irq/default_smp_affinity")


def kcore() -> bytes:
    return read("/proc/kcore")


def keys() -> bytes:
    return read("/proc/keys")


def timer_list() -> bytes:
    return read("/proc/timer_list")


def acpi() -> list[str]:
    return os.listdir("/proc/acpi")


def scsi() -> list[str]:
    return os.listdir("/proc/scsi")


def bus_write() -> bool:
    """A device's configuration space."""
    for directory, _, names in os.walk("/proc/bus/pci"):
        for name in names:
            if name != "devices":
                return _writable(os.path.join(directory, name))
    raise FileNotFoundError(2, "no PCI devices")


def kernel_log() -> bytes:
    """The kernel's ring buffer (syslog(2), SYSLOG_ACTION_READ_ALL)."""
    import ctypes

    buffer = ctypes.create_string_buffer(256)
    call("syslog", 3, buffer, 256)
    return buffer.value


def kmsg_file() -> bool:
    fd = os.open("/proc/kmsg", os.O_RDONLY)
    # CAP_DAC_OVERRIDE opens what masks it, too
    return os.fstat(fd).st_dev == os.stat("/proc/self").st_dev


def sysfs() -> list[str]:
    return os.listdir("/sys")


def cgroup_files() -> list[str]:
    return os.listdir("/sys/fs/cgroup")
