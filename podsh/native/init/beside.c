/* A program that works for a pod but is none of it: what connects or watches its network.
 *
 * Its guard is PID 1 of a pid namespace: whatever the program does, it ends with its guard, and that
 * with the monitor. It sees the files that the options name, and has the capabilities that they
 * name, over the pod's network alone. */
#include "beside.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kernel.h"
#include "mounts.h"
#include "util.h"

#define HIGHEST 256 /* of the descriptors that the monitor gives */
/* A program that is told to end has so long. */
#define PATIENCE_MS 500
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

struct asked {
	int net, user, exec, rules; /* descriptors, or -1 */
	bool enter;
	uid_t uid;
	uint64_t caps;
	char **view;    /* the options that say what is seen */
	char **command; /* PROGRAM ARGUMENT… */
};

static _Noreturn void give_up(void)
{
	die("beside");
}

static unsigned long number(const char *text, int base)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, base);
	if (errno || end == text || *end) {
		fail_with(EINVAL, "option", text);
		give_up();
	}
	return value;
}

/* How many words an option has besides its name; -1: there is none of that name. */
static int words_of(const char *option)
{
	static const struct {
		const char *name;
		int words;
	} options[] = {{"net", 1}, {"user", 1},  {"exec", 1}, {"rules", 1}, {"enter", 0}, {"uid", 1},
	               {"caps", 1}, {"ro", 2}, {"rw", 2},   {"dev", 1},   {"link", 2},  {"tmp", 1}};
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		if (!strcmp(option, options[i].name))
			return options[i].words;
	}
	return -1;
}

static void parse(struct asked *asked, char **options)
{
	*asked = (struct asked){-1, -1, -1, -1, .uid = (uid_t)-1, .view = options};
	char **at = options;
	while (*at && strcmp(*at, "--")) {
		const char *name = *at++;
		const char *value = *at;
		for (int words = words_of(name); words; words--) {
			if (words < 0 || !*at++) {
				fail_with(EINVAL, "option", name);
				give_up();
			}
		}
		if (!strcmp(name, "net"))
			asked->net = (int)number(value, 10);
		else if (!strcmp(name, "user"))
			asked->user = (int)number(value, 10);
		else if (!strcmp(name, "exec"))
			asked->exec = (int)number(value, 10);
		else if (!strcmp(name, "rules"))
			asked->rules = (int)number(value, 10);
		else if (!strcmp(name, "enter"))
			asked->enter = true;
		else if (!strcmp(name, "uid"))
			asked->uid = (uid_t)number(value, 10);
		else if (!strcmp(name, "caps"))
			asked->caps = number(value, 16);
	}
	if (!at[0] || !at[1]) {
		fail_with(EINVAL, "option", "--");
		give_up();
	}
	asked->command = at + 1;
}

/* ---- what is seen */

/* Makes path, absolute, below the current directory, with its parents. */
static int make_place(const char *path, bool is_dir)
{
	char part[PATH_LIMIT];
	size_t length = strlen(path);
	if (path[0] != '/' || length >= sizeof part)
		return fail_with(EINVAL, "place", path);
	for (size_t end = 1; end <= length; end++) {
		if (path[end] && path[end] != '/')
			continue;
		memcpy(part, path + 1, end - 1);
		part[end - 1] = '\0';
		if ((path[end] || is_dir) && mkdir(part, 0755) < 0 && errno != EEXIST)
			return fail("mkdir", path);
	}
	if (!is_dir) {
		OWNED_FD made = open(path + 1, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
		if (made < 0)
			return fail("open", path);
	}
	return 0;
}

static int show(const char *source, const char *place, uint64_t attributes)
{
	struct stat status;
	OWNED_FD tree = sys_open_tree(AT_FDCWD, source,
	                              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		return fail("open_tree", source);
	const struct mount_attr wanted = {.attr_set = attributes, .propagation = MS_PRIVATE};
	if (sys_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &wanted) < 0)
		return fail("mount_setattr", source);
	if (fstat(tree, &status) < 0)
		return fail("fstat", source);
	if (make_place(place, S_ISDIR(status.st_mode)) < 0)
		return -1;
	if (sys_move_mount(tree, "", AT_FDCWD, place + 1, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", place);
	return 0;
}

static int new_tmpfs(const char *mode)
{
	OWNED_FD fs = sys_fsopen("tmpfs");
	if (fs < 0)
		return fail("fsopen", "tmpfs");
	if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "mode", mode) < 0 ||
	    sys_fsconfig(fs, FSCONFIG_SET_STRING, "size", "16m") < 0 ||
	    sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return fail("fsconfig", "tmpfs");
	int mount = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return mount < 0 ? fail("fsmount", "tmpfs") : mount;
}

static int show_tmpfs(const char *place)
{
	OWNED_FD mount = new_tmpfs("1777");
	if (mount < 0 || make_place(place, true) < 0)
		return -1;
	if (sys_move_mount(mount, "", AT_FDCWD, place + 1, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", place);
	return 0;
}

static int show_one(char **option)
{
	const char *name = option[0];
	const uint64_t dull = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	if (!strcmp(name, "ro"))
		return show(option[1], option[2], dull | MOUNT_ATTR_RDONLY);
	if (!strcmp(name, "rw"))
		return show(option[1], option[2], dull | MOUNT_ATTR_NOEXEC);
	if (!strcmp(name, "dev"))
		return show(option[1], option[1],
		            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY);
	if (!strcmp(name, "tmp"))
		return show_tmpfs(option[1]);
	if (!strcmp(name, "link") && symlink(option[1], option[2] + 1) < 0)
		return fail("symlink", option[2]);
	return 0;
}

/* Our mount namespace, a copy of the monitor's, becomes what the options say, and a /proc. */
static int build_view(char **view)
{
	if (sys_mount(NULL, "/", MS_REC | MS_PRIVATE) < 0)
		return fail("mount private", "/");
	OWNED_FD root = new_tmpfs("755");
	OWNED_FD proc = root < 0 ? -1 : new_proc();
	const struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY};
	if (proc < 0)
		return -1;
	if (sys_mount_setattr(proc, "", AT_EMPTY_PATH, &sealed) < 0)
		return fail("mount_setattr", "/proc");
	/* absolute paths are still looked up in what this covers */
	if (sys_move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", "/");
	if (fchdir(root) < 0)
		return fail("fchdir", "/");
	umask(0);
	for (char **at = view; strcmp(*at, "--"); at += 1 + words_of(*at)) {
		if (show_one(at) < 0)
			return -1;
	}
	if (make_place("/proc", true) < 0)
		return -1;
	if (sys_move_mount(proc, "", AT_FDCWD, "proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", "/proc");
	if (sys_pivot_root(".", ".") < 0)
		return fail("pivot_root", "/");
	if (sys_umount2(".", DETACH) < 0)
		return fail("umount2", "old root");
	if (sys_mount_setattr(root, "", AT_EMPTY_PATH, &sealed) < 0)
		return fail("mount_setattr", "/");
	return 0;
}

/* ---- the pod's network */

static int join(int fd, int kind, const char *what)
{
	return setns(fd, kind) < 0 ? fail("setns", what) : 0;
}

/* In the pod's network namespace: sends the netfilter messages in fd as one transaction, and waits
 * for the answer to its last one, which comes after any error. */
static int send_rules(int fd)
{
	char bytes[4096];
	_Alignas(struct nlmsghdr) char answer[8192];
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t length = pread(fd, bytes, sizeof bytes, 0);
	if (length <= 0)
		return fail("read", "rules");
	OWNED_FD netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (netlink < 0)
		return fail("socket", "netfilter");
	if (sendto(netlink, bytes, (size_t)length, 0, (struct sockaddr *)&kernel, sizeof kernel) !=
	    length)
		return fail("sendto", "netfilter");
	for (;;) {
		ssize_t got = recv(netlink, answer, sizeof answer, 0);
		if (got < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
			return fail("recv", "netfilter");
		const struct nlmsghdr *header = (const void *)answer;
		for (; NLMSG_OK(header, (size_t)got); header = NLMSG_NEXT(header, got)) {
			const struct nlmsgerr *error = NLMSG_DATA(header);
			if (header->nlmsg_type != NLMSG_ERROR)
				continue;
			if (error->error)
				return fail_with(-error->error, "netfilter", "rules");
			return 0; /* only the last one asks for an answer */
		}
	}
}

static void set_rules(const struct asked *asked)
{
	pid_t child = fork();
	if (child < 0) {
		fail("fork", NULL);
		give_up();
	}
	if (child == 0) {
		if (join(asked->net, CLONE_NEWNET, "net") < 0 || send_rules(asked->rules) < 0)
			give_up();
		_exit(0);
	}
	int status;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		_exit(125);
}

/* ---- the program */

/* In the namespace that owns the pod's network, where we have all capabilities: those of mask. */
static int keep_capabilities(uint64_t mask, uid_t uid)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (!(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return fail("prctl", "PR_CAPBSET_DROP");
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return fail("prctl", "PR_SET_KEEPCAPS");
	if (uid != (uid_t)-1 && (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
	                         setresuid(uid, uid, uid) < 0))
		return fail("setresuid", NULL);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return fail("prctl", "PR_CAP_AMBIENT");
	for (unsigned i = 0; i < 2; i++) {
		uint32_t half = (uint32_t)(mask >> (32 * i));
		data[i].effective = data[i].permitted = data[i].inheritable = half;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return fail("capset", NULL);
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (mask >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return fail("prctl", "PR_CAP_AMBIENT_RAISE");
	}
	return 0;
}

static int become(const struct asked *asked)
{
	sigset_t none;
	if (setsid() < 0)
		return fail("setsid", NULL);
	if (asked->enter && join(asked->net, CLONE_NEWNET, "net") < 0)
		return -1;
	if (join(asked->user, CLONE_NEWUSER, "user") < 0)
		return -1;
	if (keep_capabilities(asked->caps, asked->uid) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail("prctl", "PR_SET_NO_NEW_PRIVS");
	umask(077);
	for (int signal_number = 1; signal_number < _NSIG; signal_number++)
		signal(signal_number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (asked->exec >= 0)
		syscall(SYS_execveat, asked->exec, "", asked->command, environ, AT_EMPTY_PATH);
	else
		execve(asked->command[0], asked->command, environ);
	return fail("execve", asked->command[0]);
}

/* Buries children. False once none is left. Tells the monitor how the program itself ended. */
static bool bury(pid_t *program, int control)
{
	for (;;) {
		int status;
		pid_t gone = waitpid(-1, &status, WNOHANG);
		if (gone == 0)
			return true;
		if (gone < 0)
			return errno == EINTR;
		if (gone != *program)
			continue;
		*program = 0;
		/* who does not listen any more has hung up */
		if (send(control, &status, sizeof status, MSG_NOSIGNAL) < 0)
			return false;
	}
}

/* Until nothing is left of the program, or the monitor is gone. */
static _Noreturn void guard(pid_t program, int control, int signals)
{
	struct pollfd polled[2] = {{control, POLLIN, 0}, {signals, POLLIN, 0}};
	int patience = -1;
	for (;;) {
		int ready = poll(polled, 2, patience);
		if (ready == 0)
			_exit(0);
		if (ready > 0 && polled[1].revents) {
			struct signalfd_siginfo info;
			if (read(signals, &info, sizeof info) > 0 && !bury(&program, control))
				_exit(0);
		}
		if (ready > 0 && polled[0].revents) {
			unsigned char wanted;
			ssize_t got = recv(control, &wanted, 1, MSG_DONTWAIT);
			if (got == 1) {
				if (program)
					kill(program, wanted);
			} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
				polled[0].fd = -1;
				patience = PATIENCE_MS;
				kill(-1, SIGTERM);
			}
		}
	}
}

static _Noreturn void be_guard(const struct asked *asked, int control)
{
	sigset_t children;
	prctl(PR_SET_NAME, "podsh-beside");
	prctl(PR_SET_DUMPABLE, 0);
	/* as PID 1 of its namespace it gets no other signals but those from outside */
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0) {
		fail("signalfd", NULL);
		give_up();
	}
	if (asked->rules >= 0)
		set_rules(asked);
	if (build_view(asked->view) < 0)
		give_up();
	pid_t program = fork();
	if (program < 0) {
		fail("fork", NULL);
		give_up();
	}
	if (program == 0) {
		become(asked);
		give_up();
	}
	/* nothing that it writes to or waits for is held open by us */
	for (int fd = 0; fd < HIGHEST; fd++) {
		if (fd != control && fd != signals)
			close(fd);
	}
	guard(program, control, signals);
}

void beside(int control, char **options)
{
	struct asked asked;
	fail_clear();
	parse(&asked, options);
	if (fcntl(control, F_SETFD, FD_CLOEXEC) < 0) {
		fail("fcntl", "control");
		give_up();
	}
	/* CLONE_PARENT: a child of the monitor, which waits for its end and with it for all of it */
	pid_t pid = (pid_t)syscall(SYS_clone, NAMESPACES | CLONE_PARENT | SIGCHLD, NULL, NULL, NULL,
	                           NULL);
	if (pid < 0) {
		fail("clone", NULL);
		give_up();
	}
	if (pid == 0)
		be_guard(&asked, control);
	if (send(control, &pid, sizeof pid, MSG_NOSIGNAL) < 0)
		_exit(125);
	_exit(0);
}
