/* From a process in U0/M0 to the PID 1 of a new set of namespaces, by one clone. */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "jail.h"
#include "kernel.h"
#include "maps.h"
#include "pid1.h"
#include "util.h"
#include "wire.h"

#define ALWAYS                                                                                     \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

/* Nothing of the caller stays readable: not in memory either. */
static void wipe_arguments(char **argv)
{
	static const char name[] = "podsh-init";
	char *first = argv[0];
	char *end = first;
	for (char **item = argv; *item; item++)
		end = *item + strlen(*item) + 1;
	for (char **item = environ; *item; item++) {
		/* the kernel lays them out one behind the other: execve(2) */
		if (*item == end)
			end = *item + strlen(*item) + 1;
	}
	memset(first, 0, (size_t)(end - first));
	if ((size_t)(end - first) > sizeof name)
		memcpy(first, name, sizeof name);
	environ = argv + 1;
	argv[1] = NULL;
}

/* What the caller ignores is inherited. Raw, since glibc keeps 32 and 33 from its users, but lets
 * posix_spawn ignore them. */
static void default_signals(void)
{
	static const long default_action[8]; /* struct kernel_sigaction: SIG_DFL, no flags */
	for (int number = 1; number < _NSIG; number++)
		syscall(SYS_rt_sigaction, number, default_action, NULL, _NSIG / 8);
}

/* In the new namespaces. gate: the launcher has written the maps when it can be read; -1: ours to
 * write, with the ids that we had outside. */
static int settle_identity(int gate, uid_t uid, gid_t gid)
{
	char byte;
	if (gate < 0)
		return maps_write_own(uid, gid);
	ssize_t got;
	do
		got = read(gate, &byte, 1);
	while (got < 0 && errno == EINTR);
	if (got != 1)
		_exit(125); /* the launcher has reported why */
	return 0;
}

static void protect(char **argv)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	default_signals();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "podsh-init");
	prctl(PR_SET_DUMPABLE, 0);
	wipe_arguments(argv);
	umask(0);
}

static _Noreturn void give_up(int control, uint32_t id)
{
	send_failure(control, id);
	_exit(125);
}

void jail(int control, char **argv)
{
	struct message order;
	/* whatever else the caller left open stays out */
	if (control > 3)
		sys_close_range(3, (unsigned)control - 1);
	sys_close_range((unsigned)control + 1, ~0u);
	if (!receive(control, &order))
		_exit(0);
	if (order.kind != LAUNCH)
		die_malformed("not LAUNCH");
	const uint64_t extra = take_u64(&order.payload);
	if (!taken_whole(&order.payload) || (extra & ~(uint64_t)CLONE_NEWNET))
		die_malformed("LAUNCH");
	OWNED_FD template_fd = message_fd(&order, 0);
	message_close(&order);

	fail_clear();
	/* the copy of its few mounts is what the clone below costs */
	if (setns(template_fd, CLONE_NEWNS) < 0) {
		fail("setns", "template");
		give_up(control, order.id);
	}
	close(take_fd(&template_fd));

	const bool whole = maps_whole();
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	int gate[2] = {-1, -1};
	if (whole && pipe2(gate, O_CLOEXEC) < 0) {
		fail("pipe2", NULL);
		give_up(control, order.id);
	}
	/* CLONE_PARENT: a child of the monitor, not ours */
	const unsigned long flags = ALWAYS | CLONE_PARENT | (unsigned long)extra | SIGCHLD;
	const pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
	if (pid < 0) {
		fail("clone", NULL);
		give_up(control, order.id);
	}
	if (pid == 0) {
		if (gate[1] >= 0)
			close(gate[1]);
		if (settle_identity(gate[0], uid, gid) < 0)
			give_up(control, order.id);
		if (gate[0] >= 0)
			close(gate[0]);
		protect(argv);
		pid1(control);
	}
	char process[32];
	snprintf(process, sizeof process, "/proc/%d", pid);
	bool mapped = !whole || (maps_write_whole(process) == 0 && write(gate[1], "", 1) == 1);
	/* whatever became of it, the monitor has to reap it */
	struct reply_buffer reply;
	put_header(&reply, ACK, order.id);
	put_u64(&reply, (uint64_t)pid);
	send_reply(control, &reply, -1, 0);
	if (!mapped)
		give_up(control, order.id);
	_exit(0);
}
