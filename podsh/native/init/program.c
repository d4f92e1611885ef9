#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "exec.h"
#include "kernel.h"
#include "util.h"

static int set_size(int master, const struct program *program)
{
	const struct winsize size = {
		.ws_row = (unsigned short)program->rows,
		.ws_col = (unsigned short)program->cols,
	};
	return ioctl(master, TIOCSWINSZ, &size);
}

/* A terminal of the pod's own devpts, of that size, unlocked; the master's descriptor. */
static int open_terminal(const struct tree *tree, const struct program *program)
{
	if (tree->devpts < 0)
		return fail_with(ENODEV, "openpty", "/dev/pts/ptmx");
	OWNED_FD master = openat(tree->devpts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		return fail("openpty", "/dev/pts/ptmx");
	const int locked = 0;
	if (ioctl(master, TIOCSPTLCK, &locked) < 0 || set_size(master, program) < 0)
		return fail("ioctl", "/dev/pts/ptmx");
	return take_fd(&master);
}

static struct running *add(struct programs *programs)
{
	if (programs->count == programs->room) {
		unsigned room = programs->room ? programs->room * 2 : 8;
		struct running *list = reallocarray(programs->list, room, sizeof *list);
		if (!list)
			die_of("reallocarray");
		programs->list = list;
		programs->room = room;
	}
	return &programs->list[programs->count++];
}

static struct running *find(const struct programs *programs, uint32_t id)
{
	for (unsigned i = 0; i < programs->count; i++) {
		if (programs->list[i].id == id && !programs->list[i].failed)
			return &programs->list[i];
	}
	return NULL;
}

/* The bytes of what is to be run, which it points into: the caller's to free. NULL after fail(). */
static unsigned char *read_program(struct program *program, int memfd)
{
	size_t length;
	unsigned char *bytes = read_file(memfd, &length);
	if (bytes && !program_parse(program, bytes, length))
		die_malformed("program");
	return bytes;
}

/* On which a child says how it gets on. */
static int status_pair(int *ours, int *theirs)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail("socketpair", NULL);
	*ours = pair[0];
	*theirs = pair[1];
	return 0;
}

/* Passes on what the process that waits has to say, until it waits. -1 after fail(). */
static int hear_parked(pid_t pid, int status, int control, uint32_t id)
{
	for (;;) {
		struct message said;
		struct reply_buffer reply;
		if (!receive(status, &said))
			return fail_with(ECHILD, "park", NULL);
		if (said.kind == ACK)
			return 0;
		if (said.kind == LISTENER && !said.fds_lost) {
			OWNED_FD listener = message_fd(&said, 0);
			put_header(&reply, LISTENER, id);
			put_u64(&reply, take_u64(&said.payload));
			send_reply(control, &reply, listener, pid);
			continue;
		}
		message_close(&said);
		return fail_with(ECHILD, "park", NULL);
	}
}

int program_park(struct programs *programs, const struct tree *tree, struct message *order,
                 int control)
{
	struct parked *parked = &programs->parked;
	if (parked->pid)
		die_malformed("PARK");
	OWNED_FD memfd = message_fd(order, 0);
	struct program usual;
	unsigned char *bytes = read_program(&usual, memfd);
	if (!bytes)
		return -1;
	OWNED_FD master = open_terminal(tree, &usual);
	OWNED_FD status = -1;
	OWNED_FD status_write = -1;
	if (master < 0 || status_pair(&status, &status_write) < 0)
		return -1;
	pid_t pid = fork();
	if (pid < 0)
		return fail("fork", NULL);
	if (pid == 0) {
		setrlimit(RLIMIT_NOFILE, &programs->files);
		program_await(order->id, &usual, master, status_write);
	}
	close(take_fd(&status_write));
	*parked = (struct parked){pid, take_fd(&status), take_fd(&master), usual, bytes};
	if (hear_parked(pid, parked->status, control, order->id) == 0)
		return 0;
	program_unpark(programs);
	return -1;
}

static void forget(struct parked *parked)
{
	if (parked->status >= 0)
		close(parked->status);
	if (parked->master >= 0)
		close(parked->master);
	program_free(&parked->usual);
	free(parked->bytes);
	*parked = (struct parked){0};
}

void program_unpark(struct programs *programs)
{
	struct parked *parked = &programs->parked;
	if (!parked->pid)
		return;
	kill(parked->pid, SIGKILL);
	while (waitpid(parked->pid, NULL, 0) < 0 && errno == EINTR)
		;
	forget(parked);
}

static bool fits(const struct parked *parked, const struct program *program)
{
	const struct program *usual = &parked->usual;
	return parked->pid && !(program->flags & (FRESH | NO_TERMINAL)) &&
	       (program->flags & LISTEN) == (usual->flags & LISTEN) &&
	       program->keep_caps == usual->keep_caps &&
	       program->no_new_privs == usual->no_new_privs &&
	       program->filter_length == usual->filter_length &&
	       !memcmp(program->filter, usual->filter,
	               program->filter_length * sizeof *program->filter);
}

/* Has the process that waits become the program. False: it is not there any more. */
static bool hand_over(struct programs *programs, const struct program *program, int memfd,
                      const struct message *order)
{
	struct parked *parked = &programs->parked;
	struct reply_buffer run;
	int fds[4] = {memfd};
	unsigned count = 1;
	while (count < 4 && count < order->fd_count) {
		fds[count] = order->fds[count];
		count++;
	}
	put_header(&run, RUN, order->id);
	if (set_size(parked->master, program) < 0 ||
	    try_reply_fds(parked->status, &run, fds, count) < 0)
		return false;
	*add(programs) = (struct running){
		.id = order->id,
		.pid = parked->pid,
		.status = take_fd(&parked->status),
		.master = take_fd(&parked->master),
	};
	forget(parked);
	return true;
}

int program_start(struct programs *programs, const struct tree *tree, struct message *order)
{
	OWNED_FD memfd = message_fd(order, 0);
	__attribute__((cleanup(program_free))) struct program program = {0};
	OWNED unsigned char *bytes = read_program(&program, memfd);
	if (!bytes)
		return -1;
	if (find(programs, order->id))
		die_malformed("a program's id is in use");

	int stdio[3];
	unsigned next = 1;
	for (unsigned i = 0; i < 3; i++) {
		stdio[i] = -1;
		if (program.flags & (HAS_STDIN << i)) {
			if (next >= order->fd_count)
				die_malformed("a descriptor is missing");
			stdio[i] = order->fds[next++]; /* stays the message's */
		}
	}

	if (fits(&programs->parked, &program) && hand_over(programs, &program, memfd, order))
		return 0;
	program_unpark(programs);
	OWNED_FD master = open_terminal(tree, &program);
	OWNED_FD status = -1;
	OWNED_FD status_write = -1;
	if (master < 0 || status_pair(&status, &status_write) < 0)
		return -1;
	pid_t pid = fork();
	if (pid < 0)
		return fail("fork", NULL);
	if (pid == 0) {
		setrlimit(RLIMIT_NOFILE, &programs->files);
		program_become(order->id, &program, stdio, master, status_write, tree->inner);
	}
	*add(programs) = (struct running){
		.id = order->id,
		.pid = pid,
		.status = take_fd(&status),
		.master = take_fd(&master),
	};
	return 0;
}

void program_settle(struct running *program, int control)
{
	struct reply_buffer reply;
	struct message said;
	if (receive(program->status, &said)) {
		/* written by the child as it is to be sent */
		reply.used = (size_t)(said.payload.end - said.bytes);
		if (reply.used > sizeof reply.bytes)
			die_malformed("status");
		if (said.fds_lost)
			return; /* nobody listens, which the exec gets as ENOSYS */
		memcpy(reply.bytes, said.bytes, reply.used);
		if (said.kind == LISTENER) {
			OWNED_FD listener = message_fd(&said, 0);
			send_reply(control, &reply, listener, program->pid);
			return;
		}
		send_reply(control, &reply, -1, 0);
		program->failed = true; /* forgotten when it is reaped */
	} else {
		put_header(&reply, STARTED, program->id);
		send_reply(control, &reply, program->master, program->pid);
	}
	close(program->status);
	close(program->master);
	program->status = program->master = -1;
}

void program_gone(struct programs *programs, pid_t pid, int wait_status)
{
	if (programs->parked.pid == pid)
		forget(&programs->parked);
	for (unsigned i = 0; i < programs->count; i++) {
		struct running *program = &programs->list[i];
		if (program->pid == pid && !program->gone) {
			program->gone = true;
			program->exit_status = wait_status;
		}
	}
}

void programs_report(struct programs *programs, int control, bool others)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < programs->count; i++) {
		struct running *program = &programs->list[i];
		if (!program->gone) {
			programs->list[kept++] = *program;
			continue;
		}
		while (program->status >= 0)
			program_settle(program, control);
		if (program->failed)
			continue;
		struct reply_buffer reply;
		put_header(&reply, EXITED, program->id);
		put_u64(&reply, (uint32_t)program->exit_status);
		put_u64(&reply, others);
		send_reply(control, &reply, -1, 0);
	}
	programs->count = kept;
}

/* The foreground process group of a process's terminal: field 8 of /proc/PID/stat. */
static pid_t foreground(const struct tree *tree, pid_t pid)
{
	char path[32], line[512];
	snprintf(path, sizeof path, "%d/stat", pid);
	OWNED_FD fd = openat(tree->proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t got = read(fd, line, sizeof line - 1);
	if (got <= 0)
		return -1;
	line[got] = '\0';
	/* the second field is in parentheses, which it may contain itself */
	const char *rest = strrchr(line, ')');
	int group;
	if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %d", &group) != 1)
		return -1;
	return group;
}

int program_signal(const struct programs *programs, const struct tree *tree, uint32_t id,
                   int signal_number, uint64_t group)
{
	if (group == 2)
		return kill(-1, signal_number) < 0 ? fail("kill", NULL) : 0;
	const struct running *program = find(programs, id);
	if (!program)
		return fail_with(ESRCH, "kill", NULL);
	if (group == 0)
		return kill(program->pid, signal_number) < 0 ? fail("kill", NULL) : 0;
	pid_t front = foreground(tree, program->pid);
	if (front > 1 && kill(-front, signal_number) == 0)
		return 0;
	/* it leads its session, and so the group of its own id */
	return kill(-program->pid, signal_number) < 0 ? fail("kill", NULL) : 0;
}
