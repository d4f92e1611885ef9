#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kernel.h"
#include "util.h"
#include "wire.h"

#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1u << 3) /* Linux 5.0 */
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1u << 5) /* Linux 5.19 */
#endif

#define STATUS_FD 3
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* Session, controlling terminal, descriptors 0-2, nothing above but the status socket (at 3). */
static int take_terminal(const struct program *program, const int stdio[3], int master,
                         int status)
{
	if (setsid() < 0)
		return fail("setsid", NULL);
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return fail("TIOCGPTPEER", "/dev/pts");
	if (!(program->flags & NO_TERMINAL) && ioctl(slave, TIOCSCTTY, 0) < 0)
		return fail("TIOCSCTTY", "/dev/pts");

	/* first out of the way of the numbers that are to be filled */
	int from[4];
	for (int i = 0; i < 4; i++) {
		int source = i == 3 ? status : stdio[i] < 0 ? slave : stdio[i];
		if (i < 3 && program->flags & (NULL_STDIN << i)) {
			source = open("/dev/null", O_RDWR | O_CLOEXEC);
			if (source < 0)
				return fail("open", "/dev/null");
		}
		from[i] = fcntl(source, F_DUPFD_CLOEXEC, STATUS_FD + 1);
		if (from[i] < 0)
			return fail("dup", NULL);
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(from[i], i) < 0)
			return fail("dup2", NULL);
	}
	if (dup3(from[3], STATUS_FD, O_CLOEXEC) < 0)
		return fail("dup3", NULL);
	if (sys_close_range(STATUS_FD + 1, ~0u) < 0)
		return fail("close_range", NULL);
	return 0;
}

static int set_limits(const struct program *program)
{
	for (uint64_t i = 0; i < program->limit_count; i++) {
		const struct limit *wanted = &program->limits[i];
		struct rlimit limit = {.rlim_cur = wanted->soft, .rlim_max = wanted->hard}, old;
		unsigned resource = (unsigned)wanted->resource;
		if (setrlimit(resource, &limit) == 0)
			continue;
		/* the caller's own hard limit is lower: no pod gets more than its owner has */
		if (errno != EPERM || getrlimit(resource, &old) < 0)
			return fail("setrlimit", NULL);
		if (limit.rlim_max > old.rlim_max)
			limit.rlim_max = old.rlim_max;
		if (limit.rlim_cur > limit.rlim_max)
			limit.rlim_cur = limit.rlim_max;
		if (setrlimit(resource, &limit) < 0)
			return fail("setrlimit", NULL);
	}
	return 0;
}

/* Capabilities over our own user namespace would be some over the pod's mounts: init's alone. */
static int enter_inner(const struct program *program, int inner)
{
	if (inner < 0)
		return program->keep_caps ? fail_with(EPERM, "setns", "user namespace") : 0;
	return setns(inner, CLONE_NEWUSER) < 0 ? fail("setns", "user namespace") : 0;
}

static int set_capabilities(uint64_t effective, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	for (unsigned i = 0; i < 2; i++) {
		data[i].effective = data[i].permitted = (uint32_t)(effective >> (32 * i));
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	return syscall(SYS_capset, &header, data) < 0 ? fail("capset", NULL) : 0;
}

/* Leaves what the program keeps. With no_new_privs it has that by the ambient set; without, by its
 * exec as uid 0, or of files that say so. */
static int drop_capabilities(const struct program *program)
{
	const uint64_t keep = program->keep_caps;
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (keep >> cap & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break; /* above the last that this kernel has */
			return fail("prctl", "PR_CAPBSET_DROP");
		}
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return fail("prctl", "PR_CAP_AMBIENT");
	/* for a filter without no_new_privs; not in the bounding set, so it ends with the exec */
	const uint64_t until_exec = program->no_new_privs ? 0 : UINT64_C(1) << CAP_SYS_ADMIN;
	if (set_capabilities(keep | until_exec, keep) < 0)
		return -1;
	for (unsigned long cap = 0; cap < 64 && program->no_new_privs; cap++) {
		if (keep >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return fail("prctl", "PR_CAP_AMBIENT_RAISE");
	}
	return 0;
}

/* Opens what the pod has, or does not have: under the filter nobody is asked for it. */
static int open_unasked(const char *path, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0, 0, PODSH_COOKIE);
}

/* Whether a directory is a placeholder of the skeleton: there for what is mounted below it, and
 * absent for the program. */
static bool is_placeholder(int dir)
{
	struct stat here, there;
	OWNED_FD root = open_unasked("/", O_PATH);
	return fstat(dir, &here) == 0 && fstat(root, &there) == 0 && here.st_dev == there.st_dev &&
	       !(here.st_mode & 0444);
}

static int enter_directory(const struct program *program)
{
	const char *last = "";
	for (const char **candidate = program->cwd; *candidate; candidate++) {
		last = *candidate;
		OWNED_FD dir = open_unasked(last, O_PATH | O_DIRECTORY);
		if (dir < 0)
			continue;
		if (is_placeholder(dir))
			errno = ENOENT;
		else if (fchdir(dir) == 0)
			return 0;
	}
	if (program->cwd_must)
		return fail("chdir", last);
	OWNED_FD root = open_unasked("/", O_PATH);
	if (root < 0 || fchdir(root) < 0)
		return fail("chdir", "/");
	return 0;
}

/* Loads it and sends its listener away. The exec that follows is held until somebody answers. */
static int load_notifying(const struct sock_fprog *filter, uint32_t id, int status)
{
	unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, filter);
	if (fd < 0 && errno == EINVAL) {
		/* before Linux 5.19; the monitor is told, and then holds no call */
		flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, filter);
	}
	if (fd < 0)
		return fail("seccomp", "listener");
	/* no program has its own, not even by accident */
	OWNED_FD listener = (int)fd;
	struct reply_buffer reply;
	put_header(&reply, LISTENER, id);
	put_u64(&reply, flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV ? 1 : 0);
	if (try_reply(status, &reply, listener, 0) < 0)
		return fail("sendmsg", "listener");
	return 0;
}

static int load_filter(const struct program *program, uint32_t id, int status)
{
	if (!program->filter_length)
		return 0;
	const struct sock_fprog filter = {
		.len = program->filter_length,
		.filter = program->filter,
	};
	if (program->flags & LISTEN)
		return load_notifying(&filter, id, status);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
		return fail("seccomp", NULL);
	return 0;
}

/* execvpe(3) with the PATH of the program's own environment; returns only if it fails. */
static int execute(const struct program *program)
{
	const char *file = program->argv[0];
	const char *path = DEFAULT_PATH;
	char full[PATH_LIMIT + 256];
	char **argv = (char **)program->argv;
	char **env = (char **)program->env;

	for (const char **entry = program->env; *entry; entry++) {
		if (!strncmp(*entry, "PATH=", 5))
			path = *entry + 5;
	}
	if (program->name[0])
		argv[0] = (char *)program->name;
	if (strchr(file, '/')) {
		execve(file, argv, env);
		return fail("execve", file);
	}
	if (!file[0])
		return fail_with(ENOENT, "execve", file);
	int error = ENOENT;
	for (;;) {
		size_t length = strcspn(path, ":");
		int used = snprintf(full, sizeof full, "%.*s%s%s", (int)length, path,
		                    length ? "/" : "", file);
		if (used > 0 && (size_t)used < sizeof full) {
			execve(full, argv, env);
			if (errno == EACCES)
				error = EACCES;
			else if (errno != ENOENT && errno != ENOTDIR)
				return fail("execve", file);
		}
		if (!path[length])
			return fail_with(error, "execve", file);
		path += length + 1;
	}
}

static int drop_privileges(const struct program *program)
{
	if (drop_capabilities(program) < 0)
		return -1;
	if (program->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail("prctl", "PR_SET_NO_NEW_PRIVS");
	return 0;
}

static int become(uint32_t id, const struct program *program, const int stdio[3], int master,
                  int *status, int inner)
{
	sigset_t none;
	if (enter_inner(program, inner) < 0)
		return -1;
	if (take_terminal(program, stdio, master, *status) < 0)
		return -1;
	*status = STATUS_FD;
	/* dispositions are the default since PID 1 began */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (set_limits(program) < 0)
		return -1;
	umask((mode_t)program->umask);
	if (drop_privileges(program) < 0)
		return -1;
	/* still not dumpable, as PID 1 is not: no other program of the pod may trace this one
	 * before the filter is in place. The exec makes it dumpable. */
	if (enter_directory(program) < 0)
		return -1;
	if (load_filter(program, id, *status) < 0)
		return -1;
	return execute(program);
}

void program_become(uint32_t id, const struct program *program, const int stdio[3], int master,
                    int status, int inner)
{
	struct reply_buffer reply;
	fail_clear();
	become(id, program, stdio, master, &status, inner);
	put_failure(&reply, id);
	_exit(try_reply(status, &reply, -1, 0) < 0 ? 125 : 126);
}

/* Descriptors 0-2 that are not to be the terminal, which they are. */
static int redirect(const struct program *program, struct message *order)
{
	unsigned next = 1;
	for (unsigned i = 0; i < 3; i++) {
		OWNED_FD source = -1;
		if (program->flags & (HAS_STDIN << i))
			source = message_fd(order, next++);
		else if (program->flags & (NULL_STDIN << i))
			source = open_unasked("/dev/null", O_RDWR);
		else
			continue;
		if (source < 0)
			return fail("open", "/dev/null");
		if (dup2(source, (int)i) < 0)
			return fail("dup2", NULL);
	}
	return 0;
}

static int await(uint32_t *id, const struct program *usual, int master, int *status)
{
	static const int terminal[3] = {-1, -1, -1};
	struct message order;
	struct program program;
	sigset_t none;
	size_t length;
	if (take_terminal(usual, terminal, master, *status) < 0)
		return -1;
	*status = STATUS_FD;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* no program of the pod has run yet, that could trace this process, as in become() */
	if (drop_privileges(usual) < 0 || load_filter(usual, *id, *status) < 0)
		return -1;
	send_ack(*status, *id);
	if (!receive(*status, &order))
		_exit(0);
	*id = order.id;
	if (order.fds_lost)
		return fail_with(EMFILE, "recvmsg", NULL);
	OWNED_FD memfd = message_fd(&order, 0);
	unsigned char *bytes = read_file(memfd, &length);
	if (!bytes)
		return -1;
	if (!program_parse(&program, bytes, length))
		die_malformed("program");
	if (redirect(&program, &order) < 0 || set_limits(&program) < 0)
		return -1;
	umask((mode_t)program.umask);
	if (enter_directory(&program) < 0)
		return -1;
	return execute(&program);
}

void program_await(uint32_t id, const struct program *usual, int master, int status)
{
	struct reply_buffer reply;
	fail_clear();
	await(&id, usual, master, &status);
	put_failure(&reply, id);
	_exit(try_reply(status, &reply, -1, 0) < 0 ? 125 : 126);
}
