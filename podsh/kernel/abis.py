"""System calls of the foreign ABIs of x86_64: i386 (``int 0x80``) and x32, by number.

Sources: Linux 6.18 ``arch/x86/entry/syscalls/syscall_32.tbl`` and ``syscall_64.tbl``.
A name here is the foreign table's; ``callnames.py`` says which native call it is.
"""

from __future__ import annotations

from podsh.kernel import callnames, syscalls

X32_BIT = 0x40000000  # __X32_SYSCALL_BIT, <asm/unistd.h>
# AUDIT_ARCH_I386, <linux/audit.h>; x32 calls come as AUDIT_ARCH_X86_64, their numbers marked
AUDIT_ARCH = {"i386": 0x40000003, "x32": syscalls.AUDIT_ARCH["x86_64"]}

_I386_FROM_0 = """
    restart_syscall exit fork read write open close waitpid creat link unlink execve chdir
    time mknod chmod lchown break oldstat lseek getpid mount umount setuid getuid stime
    ptrace alarm oldfstat pause utime stty gtty access nice ftime sync kill rename mkdir
    rmdir dup pipe times prof brk setgid getgid signal geteuid getegid acct umount2 lock
    ioctl fcntl mpx setpgid ulimit oldolduname umask chroot ustat dup2 getppid getpgrp
    setsid sigaction sgetmask ssetmask setreuid setregid sigsuspend sigpending sethostname
    setrlimit getrlimit getrusage gettimeofday settimeofday getgroups setgroups select
    symlink oldlstat readlink uselib swapon reboot readdir mmap munmap truncate ftruncate
    fchmod fchown getpriority setpriority profil statfs fstatfs ioperm socketcall syslog
    setitimer getitimer stat lstat fstat olduname iopl vhangup idle vm86old wait4 swapoff
    sysinfo ipc fsync sigreturn clone setdomainname uname modify_ldt adjtimex mprotect
    sigprocmask create_module init_module delete_module get_kernel_syms quotactl getpgid
    fchdir bdflush sysfs personality afs_syscall setfsuid setfsgid _llseek getdents
    _newselect flock msync readv writev getsid fdatasync _sysctl mlock munlock mlockall
    munlockall sched_setparam sched_getparam sched_setscheduler sched_getscheduler
    sched_yield sched_get_priority_max sched_get_priority_min sched_rr_get_interval
    nanosleep mremap setresuid getresuid vm86 query_module poll nfsservctl setresgid
    getresgid prctl rt_sigreturn rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait
    rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 chown getcwd capget capset sigaltstack
    sendfile getpmsg putpmsg vfork ugetrlimit mmap2 truncate64 ftruncate64 stat64 lstat64
    fstat64 lchown32 getuid32 getgid32 geteuid32 getegid32 setreuid32 setregid32 getgroups32
    setgroups32 fchown32 setresuid32 getresuid32 setresgid32 getresgid32 chown32 setuid32
    setgid32 setfsuid32 setfsgid32 pivot_root mincore madvise getdents64 fcntl64
"""
_I386_FROM_224 = """
    gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr
    llistxattr flistxattr removexattr lremovexattr fremovexattr tkill sendfile64 futex
    sched_setaffinity sched_getaffinity set_thread_area get_thread_area io_setup io_destroy
    io_getevents io_submit io_cancel fadvise64
"""
_I386_FROM_252 = """
    exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait remap_file_pages
    set_tid_address timer_create timer_settime timer_gettime timer_getoverrun timer_delete
    clock_settime clock_gettime clock_getres clock_nanosleep statfs64 fstatfs64 tgkill
    utimes fadvise64_64 vserver mbind get_mempolicy set_mempolicy mq_open mq_unlink
    mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid
"""
_I386_FROM_286 = """
    add_key request_key keyctl ioprio_set ioprio_get inotify_init inotify_add_watch
    inotify_rm_watch migrate_pages openat mkdirat mknodat fchownat futimesat fstatat64
    unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll unshare
    set_robust_list get_robust_list splice sync_file_range tee vmsplice move_pages getcpu
    epoll_pwait utimensat signalfd timerfd_create eventfd fallocate timerfd_settime
    timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev
    rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64
    name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv
    process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp
    getrandom memfd_create bpf execveat socket socketpair bind connect listen accept4
    getsockopt setsockopt getsockname getpeername sendto sendmsg recvfrom recvmsg shutdown
    userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc
    pkey_free statx arch_prctl io_pgetevents rseq
"""
_I386_FROM_393 = """
    semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl clock_gettime64
    clock_settime64 clock_adjtime64 clock_getres_time64 clock_nanosleep_time64
    timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 utimensat_time64
    pselect6_time64 ppoll_time64
"""
_I386_FROM_416 = """
    io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64
    semtimedop_time64 rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64
"""

# what x32 has at numbers of its own; the native numbers of these are no x32 calls
_X32_FROM_512 = """
    rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg execve ptrace
    rt_sigpending rt_sigtimedwait rt_sigqueueinfo sigaltstack timer_create mq_notify kexec_load
    waitid set_robust_list get_robust_list vmsplice move_pages preadv pwritev rt_tgsigqueueinfo
    recvmmsg sendmmsg process_vm_readv process_vm_writev setsockopt getsockopt io_setup io_submit
    execveat preadv2 pwritev2
"""


def _i386() -> dict[str, int]:
    runs = (
        (0, _I386_FROM_0),
        (224, _I386_FROM_224),
        (252, _I386_FROM_252),
        (286, _I386_FROM_286),
        (393, _I386_FROM_393),
        (416, _I386_FROM_416),
        (424, syscalls.COMMON_FROM_424),
    )
    return syscalls.table(*runs)


def _x32() -> dict[str, int]:
    own = syscalls.table((X32_BIT | 512, _X32_FROM_512))
    shared = syscalls.NAMES["x86_64"]
    return {name: X32_BIT | number for name, number in shared.items() if name not in own} | own


NAMES: dict[str, dict[str, int]] = {"i386": _i386(), "x32": _x32()}

# the ABIs that a machine can have beside its own, as ``[seccomp] abi`` names them
FOREIGN = {"x86_64": ("i386", "x32"), "aarch64": ()}


def names_of(arch: int, number: int) -> tuple[str, ...]:
    """The native names of a call as a notification has it (AUDIT_ARCH, number); () unknown.

    Several where a foreign call stands for several native ones.
    """
    if not _found:
        _fill()
    return _found.get((arch, number), ())


def abi_of(arch: int, number: int) -> str:
    """``native``, ``i386`` or ``x32``."""
    if arch == AUDIT_ARCH["i386"]:
        return "i386"
    return "x32" if arch == AUDIT_ARCH["x32"] and number & X32_BIT else "native"


_found: dict[tuple[int, int], tuple[str, ...]] = {}


def _fill() -> None:
    native = syscalls.native()
    for name, number in syscalls.NAMES.get(native, {}).items():
        _found[syscalls.AUDIT_ARCH[native], number] = (name,)
    for abi in FOREIGN.get(native, ()):
        for name, number in NAMES[abi].items():
            if names := callnames.natives(name, native):
                _found[AUDIT_ARCH[abi], number] = names
