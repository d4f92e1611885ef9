#include "pid1.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"
#include "mounts.h"
#include "program.h"
#include "util.h"

#define MOUNTS_MAX 65536
/* Then the monitor is heard again: a pod may make orphans quicker than they are reaped. */
#define REAP_AT_ONCE 64

struct pod {
	int control, signals;
	struct tree tree;
	struct mounts mounts;
	struct programs programs;
	struct pollfd *polled;
	unsigned polled_room;
	bool unreaped; /* there may be more than were reaped at once */
};

static void take_mounts(struct pod *pod, struct message *order)
{
	struct mounts *mounts = &pod->mounts;
	if (take_u64(&order->payload) != mounts->count || !taken_whole(&order->payload) ||
	    mounts->count + order->fd_count > MOUNTS_MAX)
		die_malformed("FDS");
	mounts->fds = reallocarray(mounts->fds, mounts->count + order->fd_count, sizeof(int));
	if (!mounts->fds)
		die_of("reallocarray");
	for (unsigned i = 0; i < order->fd_count; i++)
		mounts->fds[mounts->count++] = message_fd(order, i);
}

/* A plan, or the part of it that is the same for most pods (PREPARE). -1 after fail(). */
static int build(struct pod *pod, struct message *order)
{
	size_t length;
	OWNED_FD plan_fd = message_fd(order, 0);
	OWNED unsigned char *bytes = read_file(plan_fd, &length);
	if (!bytes)
		return -1;
	struct plan plan;
	if (!plan_open(&plan, bytes, length))
		die_malformed("not a plan");
	plan.goes_on = pod->tree.root >= 0;
	struct op op;
	while (plan_next(&plan, &op)) {
		/* for PID 1 and what it makes from here on */
		if (op.code == OP_SCOPE || op.code == OP_INNER)
			program_unpark(&pod->programs);
		if (carry_out(&pod->tree, &op, &pod->mounts) < 0) {
			failure.op = plan.next - 1;
			return -1;
		}
	}
	if (!plan_whole(&plan))
		die_malformed("plan");
	return 0;
}

/* The end of BUILD, up to READY. -1 after fail(). */
static int finish(struct pod *pod)
{
	if (seal(&pod->tree) < 0)
		return -1;
	for (unsigned i = 0; i < pod->mounts.count; i++) {
		if (pod->mounts.fds[i] >= 0)
			close(pod->mounts.fds[i]);
	}
	free(pod->mounts.fds);
	pod->mounts = (struct mounts){0};
	return 0;
}

/* The answer to a plan that was carried out, with the listener if it made one. */
static void send_built(struct pod *pod, enum reply kind, uint32_t id)
{
	struct reply_buffer reply;
	OWNED_FD listener = take_fd(&pod->tree.listener);
	put_header(&reply, kind, id);
	send_reply(pod->control, &reply, listener, 0);
}

/* Waits for an order; buries who was to wait for its program, and has ended. */
static void await_order(struct pod *pod)
{
	struct pollfd polled[] = {
		{.fd = pod->control, .events = POLLIN},
		{.fd = pod->signals, .events = POLLIN},
	};
	while (poll(polled, 2, -1) < 0 || !polled[0].revents) {
		struct signalfd_siginfo pending;
		int status;
		pid_t pid;
		if (read(pod->signals, &pending, sizeof pending) < 0)
			continue;
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			program_gone(&pod->programs, pid, status);
	}
}

/* FDS, PREPARE and PARK until BUILD. */
static void prepare(struct pod *pod)
{
	for (;;) {
		struct message order;
		await_order(pod);
		if (!receive(pod->control, &order))
			_exit(0);
		fail_clear();
		int done;
		if (order.fds_lost) {
			done = fail_with(EMFILE, "recvmsg", NULL);
		} else if (order.kind == FDS) {
			take_mounts(pod, &order);
			send_ack(pod->control, order.id);
			continue;
		} else if (order.kind == PREPARE && taken_whole(&order.payload)) {
			done = build(pod, &order);
			if (done == 0) {
				send_built(pod, ACK, order.id);
				continue;
			}
		} else if (order.kind == PARK && taken_whole(&order.payload)) {
			done = program_park(&pod->programs, &pod->tree, &order, pod->control);
			if (done == 0) {
				send_ack(pod->control, order.id);
				continue;
			}
		} else if (order.kind == BUILD && taken_whole(&order.payload)) {
			done = build(pod, &order);
			if (done == 0)
				done = finish(pod);
		} else {
			die_malformed("none of FDS, PREPARE, PARK, BUILD");
		}
		if (done < 0) {
			send_failure(pod->control, order.id);
			_exit(125);
		}
		send_built(pod, READY, order.id);
		return;
	}
}

static int order_attach(struct pod *pod, struct message *order)
{
	const char *path = take_str(&order->payload, PATH_LIMIT - 1);
	uint64_t flags = take_u64(&order->payload);
	if (!taken_whole(&order->payload) || !path_canonical(path) || flags > 1)
		die_malformed("ATTACH");
	OWNED_FD mount = message_fd(order, 0);
	return attach(&pod->tree, mount, path, flags & 1);
}

static int order_detach(struct pod *pod, struct message *order)
{
	const char *path = take_str(&order->payload, PATH_LIMIT - 1);
	if (!taken_whole(&order->payload) || !path_canonical(path))
		die_malformed("DETACH");
	return detach(&pod->tree, path);
}

static int order_link(struct pod *pod, struct message *order)
{
	const char *path = take_str(&order->payload, PATH_LIMIT - 1);
	const char *target = take_str(&order->payload, PATH_LIMIT - 1);
	if (!taken_whole(&order->payload) || !path_canonical(path) || !target[0])
		die_malformed("LINK");
	return make_link(&pod->tree, path, target);
}

static int order_setattr(struct pod *pod, struct message *order)
{
	const char *path = take_str(&order->payload, PATH_LIMIT - 1);
	uint64_t set = take_u64(&order->payload);
	uint64_t clear = take_u64(&order->payload);
	uint64_t flags = take_u64(&order->payload);
	if (!taken_whole(&order->payload) || !path_canonical(path) || flags > 1)
		die_malformed("SETATTR");
	return set_attributes(&pod->tree, path, set, clear, flags & 1);
}

static int order_hostname(struct message *order)
{
	const char *name = take_str(&order->payload, 64);
	if (!taken_whole(&order->payload))
		die_malformed("HOSTNAME");
	return sethostname(name, strlen(name)) < 0 ? fail("sethostname", name) : 0;
}

static int order_signal(struct pod *pod, struct message *order)
{
	uint64_t number = take_u64(&order->payload);
	uint64_t group = take_u64(&order->payload);
	if (!taken_whole(&order->payload) || number > 64 || group > 2)
		die_malformed("SIGNAL");
	return program_signal(&pod->programs, &pod->tree, order->id, (int)number, group);
}

static int carry(struct pod *pod, struct message *order)
{
	fail_clear();
	if (order->fds_lost)
		return fail_with(EMFILE, "recvmsg", NULL);
	switch (order->kind) {
	case RUN:
		return program_start(&pod->programs, &pod->tree, order);
	case SIGNAL:
		return order_signal(pod, order);
	case ATTACH:
		return order_attach(pod, order);
	case HOSTNAME:
		return order_hostname(order);
	case DETACH_MOUNT:
		return order_detach(pod, order);
	case LINK:
		return order_link(pod, order);
	case SETATTR:
		return order_setattr(pod, order);
	default:
		die_malformed("unknown kind");
	}
}

static void obey(struct pod *pod)
{
	struct message order;
	if (!receive(pod->control, &order))
		_exit(0); /* the kernel ends the rest of the pod */
	if (carry(pod, &order) < 0)
		send_failure(pod->control, order.id);
	else if (order.kind != RUN)
		send_ack(pod->control, order.id); /* a program answers by itself: STARTED or FAILED */
	message_close(&order);
}

static void reap(struct pod *pod)
{
	struct signalfd_siginfo pending;
	if (read(pod->signals, &pending, sizeof pending) < 0 && !pod->unreaped)
		return;
	int status;
	pid_t pid = 0;
	unsigned count = 0;
	while (count < REAP_AT_ONCE && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		program_gone(&pod->programs, pid, status);
		count++;
	}
	pod->unreaped = count == REAP_AT_ONCE;
	/* all that lives in the pod descends from us: no children, nobody else */
	programs_report(&pod->programs, pod->control, pod->unreaped || pid == 0);
}

/* The control socket, the children, and the programs that have not said whether they started. */
static unsigned gather(struct pod *pod)
{
	if (pod->polled_room < pod->programs.count + 2) {
		pod->polled_room = pod->programs.room + 2;
		free(pod->polled);
		pod->polled = allocate(pod->polled_room, sizeof *pod->polled);
	}
	pod->polled[0] = (struct pollfd){.fd = pod->control, .events = POLLIN};
	pod->polled[1] = (struct pollfd){.fd = pod->signals, .events = POLLIN};
	unsigned count = 2;
	for (unsigned i = 0; i < pod->programs.count; i++) {
		/* a negative descriptor is passed over */
		pod->polled[count++] =
			(struct pollfd){.fd = pod->programs.list[i].status, .events = POLLIN};
	}
	return count;
}

static _Noreturn void serve(struct pod *pod)
{
	for (;;) {
		unsigned count = gather(pod);
		if (poll(pod->polled, count, pod->unreaped ? 0 : -1) < 0)
			continue;
		for (unsigned i = 2; i < count; i++) {
			if (pod->polled[i].revents)
				program_settle(&pod->programs.list[i - 2], pod->control);
		}
		if (pod->polled[1].revents || pod->unreaped)
			reap(pod);
		if (pod->polled[0].revents)
			obey(pod);
	}
}

void pid1(int control)
{
	sigset_t children;
	struct pod pod = {
		.control = control,
		.tree = {.root = -1, .writable = -1, .devpts = -1, .proc = -1, .listener = -1, .inner = -1},
	};
	/* many binds come as many descriptors, and those in flight are held against it too; programs
	 * get the limit that we had */
	getrlimit(RLIMIT_NOFILE, &pod.programs.files);
	struct rlimit most = pod.programs.files;
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	pod.signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	if (pod.signals < 0) {
		fail("signalfd", NULL);
		send_failure(control, 0);
		_exit(125);
	}
	prepare(&pod);
	serve(&pod);
}
