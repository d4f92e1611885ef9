/* Held calls that lack nothing, answered without Python.
 *
 * A call that only looks, by an absolute path, lacks nothing where the pod shows what is there, and
 * where the name is missing on the host as well. Whatever is said here, the kernel then carries the
 * call out by what is mounted: a wrong answer can only keep a program from being asked about.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

#define CALLS 512
#define PAGE 4096u
#define DEVICES 16
#define BELIEFS 1024 /* a power of two */
/* A call that lacked nothing that is to be had: how long others like it are believed to lack
 * nothing either. By its path the host may come to have something; of the same program, not changed
 * since, only its interpreter could go. */
#define BY_PATH_MS 1000
#define BY_OBJECT_MS 60000
#define READABLE 0444
#define MISS_PATH 2048
#define LATE_US 20000

/* A call that looks or executes; index of an argument, or -1. */
struct rule {
	int8_t path;
	int8_t by, flags; /* arguments on which it depends what it lacks */
	bool looks;       /* unless a bit of `writes` is in argument `by` */
	uint32_t writes;
};

struct belief {
	uint64_t key;
	uint64_t until_ms;
};

struct answers {
	uint32_t arch;
	int root;
	int connect; /* the number of connect(2); -1: not answered here */
	int misses;  /* a pipe; -1: all that may lack something is returned */
	uint64_t count; /* calls that came */
	pthread_mutex_t lock; /* of what follows */
	size_t own_count, mask_count;
	dev_t own[DEVICES], masks[DEVICES];
	struct rule rules[CALLS];
	struct belief *beliefs;
};

/* One datagram of the pipe: a call that looks, and the host's object that it lacks, of the very
 * path that it has. */
struct miss {
	uint64_t id, device;
	int32_t listener, pid;
	int32_t fd; /* O_PATH; the reader's */
	uint32_t is_dir, length;
	char path[MISS_PATH];
};

/* A thread's own. */
struct desk {
	struct seccomp_notif note;
	uint64_t object; /* what is executed: this version of it; 0: not there */
	char path[2 * PAGE + 1];
};

EXPORT struct answers *podsh_answers(uint32_t arch, int root);
EXPORT void podsh_answers_rule(struct answers *all, uint32_t nr, int path, int by, int flags,
                               int looks, uint32_t writes);
EXPORT void podsh_answers_connect(struct answers *all, int nr);
EXPORT void podsh_answers_misses(struct answers *all, int pipe);
EXPORT int podsh_answers_device(struct answers *all, uint64_t device, int masks);
EXPORT void podsh_answers_believe(struct answers *all, const struct desk *desk);
EXPORT void podsh_answers_forget(struct answers *all);
EXPORT uint64_t podsh_answers_count(struct answers *all);
EXPORT void podsh_answers_free(struct answers *all);
EXPORT struct desk *podsh_desk(void);
EXPORT void podsh_desk_free(struct desk *desk);
EXPORT int podsh_answers_serve(struct answers *all, int listener, struct desk *desk);

/* For calls by their numbers on `arch`, of the pod whose root is the descriptor `root`, which stays
 * the caller's. NULL: no memory. */
struct answers *podsh_answers(uint32_t arch, int root)
{
	struct answers *all = calloc(1, sizeof *all);
	struct belief *beliefs = calloc(BELIEFS, sizeof *beliefs);
	if (!all || !beliefs) {
		free(all);
		free(beliefs);
		return NULL;
	}
	*all = (struct answers){
		.arch = arch, .root = root, .connect = -1, .misses = -1, .beliefs = beliefs};
	pthread_mutex_init(&all->lock, NULL);
	for (size_t nr = 0; nr < CALLS; nr++)
		all->rules[nr].path = -1;
	return all;
}

/* Before the first call is served. */
void podsh_answers_rule(struct answers *all, uint32_t nr, int path, int by, int flags, int looks,
                        uint32_t writes)
{
	if (nr < CALLS)
		all->rules[nr] =
		        (struct rule){(int8_t)path, (int8_t)by, (int8_t)flags, looks != 0, writes};
}

/* Before the first call is served. */
void podsh_answers_connect(struct answers *all, int nr)
{
	all->connect = nr;
}

/* Before the first call is served. `pipe` keeps datagrams apart (O_DIRECT) and never blocks. */
void podsh_answers_misses(struct answers *all, int pipe)
{
	all->misses = pipe;
}

/* A filesystem of the pod's own, in which what nobody may read is only a place to mount on; or one
 * that hides what the host has. 0, or ENOSPC. */
int podsh_answers_device(struct answers *all, uint64_t device, int masks)
{
	pthread_mutex_lock(&all->lock);
	dev_t *list = masks ? all->masks : all->own;
	size_t *count = masks ? &all->mask_count : &all->own_count, i = 0;
	while (i < *count && list[i] != device)
		i++;
	int error = i == DEVICES ? ENOSPC : 0;
	if (i == *count && !error) {
		list[i] = device;
		(*count)++;
	}
	pthread_mutex_unlock(&all->lock);
	return error;
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
	return hash ^ hash >> 29;
}

/* What the call on the desk comes down to, the same for every process; 0: nothing to go by. */
static uint64_t key_of(const struct answers *all, const struct desk *desk)
{
	const struct seccomp_data *data = &desk->note.data;
	if (data->arch != all->arch || data->nr < 0 || data->nr >= CALLS || desk->path[0] != '/')
		return 0;
	const struct rule *rule = &all->rules[data->nr];
	uint64_t hash = mix(0, (uint64_t)data->nr);
	if (data->nr != all->connect && rule->path < 0)
		return 0;
	hash = mix(hash, rule->by < 0 ? 0 : data->args[rule->by]);
	hash = mix(hash, rule->flags < 0 ? 0 : data->args[rule->flags]);
	if (!rule->looks && data->nr != all->connect)
		return desk->object ? mix(hash, desk->object) | 1 : 0;
	for (const char *at = desk->path; *at; at++)
		hash = mix(hash, (unsigned char)*at);
	return hash | 1;
}

/* The call on the desk lacked nothing that is to be had: others like it are believed. */
void podsh_answers_believe(struct answers *all, const struct desk *desk)
{
	uint64_t key = key_of(all, desk);
	if (!key)
		return;
	pthread_mutex_lock(&all->lock);
	uint64_t until = now_ms() + (desk->object ? BY_OBJECT_MS : BY_PATH_MS);
	all->beliefs[key >> 32 & (BELIEFS - 1)] = (struct belief){key, until};
	pthread_mutex_unlock(&all->lock);
}

/* Something was taken away, or given. */
void podsh_answers_forget(struct answers *all)
{
	pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < BELIEFS; i++) {
		if (all->beliefs[i].key)
			all->beliefs[i].key = 0;
	}
	pthread_mutex_unlock(&all->lock);
}

uint64_t podsh_answers_count(struct answers *all)
{
	return __atomic_load_n(&all->count, __ATOMIC_RELAXED);
}

/* Only where no thread serves any more. */
void podsh_answers_free(struct answers *all)
{
	free(all->beliefs);
	free(all);
}

struct desk *podsh_desk(void)
{
	return calloc(1, sizeof(struct desk));
}

void podsh_desk_free(struct desk *desk)
{
	free(desk);
}

/* The string at `address` of a process; empty where it cannot be read or is too long. */
static void read_path(struct desk *desk, pid_t pid, uint64_t address)
{
	struct iovec local = {desk->path, sizeof desk->path - 1};
	/* an element for each page: the kernel stops between elements */
	size_t first = PAGE - (address & (PAGE - 1));
	struct iovec remote[2] = {{(void *)address, first}, {(void *)(address + first), PAGE}};
	ssize_t got = process_vm_readv(pid, &local, 1, remote, 1, 0);
	if (got > 0 && (size_t)got == first && !memchr(desk->path, '\0', first))
		got = process_vm_readv(pid, &local, 1, remote, 2, 0);
	if (got <= 0 || !memchr(desk->path, '\0', (size_t)got < PAGE ? (size_t)got : PAGE))
		desk->path[0] = '\0';
}

static int look(int root, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | flags, .resolve = resolve};
	return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static bool among(const dev_t *list, size_t count, dev_t device)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == device)
			return true;
	}
	return false;
}

/* Whether it is a place to mount on, or hides a path: counts as absent. */
static bool is_hollow(struct answers *all, const struct stat *found)
{
	pthread_mutex_lock(&all->lock);
	bool hollow = among(all->own, all->own_count, found->st_dev)
	                      ? !(found->st_mode & READABLE)
	                      : among(all->masks, all->mask_count, found->st_dev);
	pthread_mutex_unlock(&all->lock);
	return hollow;
}

static bool is_believed(struct answers *all, const struct desk *desk)
{
	uint64_t key = key_of(all, desk);
	pthread_mutex_lock(&all->lock);
	struct belief belief = all->beliefs[key >> 32 & (BELIEFS - 1)];
	pthread_mutex_unlock(&all->lock);
	return key && belief.key == key && belief.until_ms > now_ms();
}

/* Without a link on the way a path is the host's of the same name. */
static bool is_nowhere(int root, const char *path)
{
	if (strstr(path, "/..") || strncmp(path, "/proc/", 6) == 0)
		return false;
	int fd = look(root, path, O_NOFOLLOW,
	              RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || errno != ENOENT)
		return false;
	struct stat found;
	return fstatat(AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW) < 0 &&
	       (errno == ENOENT || errno == ENOTDIR);
}

/* What the path leads to, if the pod shows it: an O_PATH descriptor, or -1. */
static int shown(struct answers *all, const char *path, struct stat *found)
{
	int fd = look(all->root, path, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (fd >= 0 && (fstat(fd, found) || is_hollow(all, found))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool is_shown(struct answers *all, const char *path)
{
	struct stat found;
	int fd = shown(all, path, &found);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

#define SEGMENTS 64
#define LONGEST 256

/* Whether it is a program of this machine's whose interpreter, if it names one, the pod shows: the
 * kernel opens that by itself. */
static bool is_complete(struct answers *all, int program)
{
	static const unsigned char mine[] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB};
	Elf64_Ehdr head;
	Elf64_Phdr segments[SEGMENTS];
	char name[LONGEST];
	bool complete = false;
	snprintf(name, sizeof name, "/proc/self/fd/%d", program);
	int file = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (file < 0)
		return false;
	if (pread(file, &head, sizeof head, 0) == (ssize_t)sizeof head &&
	    memcmp(head.e_ident, mine, sizeof mine) == 0 && head.e_phentsize == sizeof *segments &&
	    head.e_phnum <= SEGMENTS) {
		size_t size = head.e_phnum * sizeof *segments, at = 0;
		complete = pread(file, segments, size, (off_t)head.e_phoff) == (ssize_t)size;
		while (complete && at < head.e_phnum && segments[at].p_type != PT_INTERP)
			at++;
		if (complete && at < head.e_phnum) {
			size = segments[at].p_filesz;
			complete = size && size <= sizeof name &&
			           pread(file, name, size, (off_t)segments[at].p_offset) == (ssize_t)size &&
			           !name[size - 1] && name[0] == '/' && is_shown(all, name);
		}
	}
	close(file);
	return complete;
}

static uint64_t version_of(const struct stat *found)
{
	uint64_t hash = mix(mix(1, found->st_dev), found->st_ino);
	hash = mix(hash, (uint64_t)found->st_ctim.tv_sec);
	return mix(hash, (uint64_t)found->st_ctim.tv_nsec) | 1;
}

static bool lacks_nothing(struct answers *all, struct desk *desk)
{
	const struct seccomp_data *data = &desk->note.data;
	struct stat found;
	desk->path[0] = '\0';
	desk->object = 0;
	if (data->arch != all->arch || data->nr < 0 || data->nr >= CALLS)
		return false;
	const struct rule *rule = &all->rules[data->nr];
	if (rule->path < 0)
		return false;
	read_path(desk, (pid_t)desk->note.pid, data->args[rule->path]);
	if (desk->path[0] != '/')
		return false;
	if (!rule->looks) {
		int fd = shown(all, desk->path, &found);
		if (fd < 0)
			return is_nowhere(all->root, desk->path);
		bool complete = S_ISREG(found.st_mode) && is_complete(all, fd);
		close(fd);
		if (complete)
			return true;
		desk->object = version_of(&found);
	} else if (!(rule->by >= 0 && data->args[rule->by] & rule->writes)) {
		if (is_shown(all, desk->path) || is_nowhere(all->root, desk->path))
			return true;
	}
	return is_believed(all, desk);
}

/* A connect to a socket's path that a moment ago was on the host as little as it is in the pod now:
 * the same again, whoever asks. Nothing is carried out, so what is read here may change as it likes. */
static bool is_nobodys(struct answers *all, struct desk *desk)
{
	const struct seccomp_data *data = &desk->note.data;
	struct sockaddr_un address = {0};
	uint32_t length = (uint32_t)data->args[2];
	struct iovec local = {&address, length}, remote = {(void *)data->args[1], length};
	if (data->nr != all->connect || data->arch != all->arch)
		return false;
	if (length <= sizeof address.sun_family || length > sizeof address ||
	    process_vm_readv((pid_t)desk->note.pid, &local, 1, &remote, 1, 0) != (ssize_t)length ||
	    address.sun_family != AF_UNIX || address.sun_path[0] != '/')
		return false;
	memcpy(desk->path, address.sun_path, sizeof address.sun_path);
	desk->path[length - sizeof address.sun_family] = '\0';
	if (!is_believed(all, desk))
		return false;
	/* the pod's own may have come since */
	int fd = look(all->root, desk->path, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == ENOENT;
}

/* Whether the kernel takes the path as it is written, and procfs has no part in it. */
static bool is_normal(const char *path)
{
	if (path[0] != '/' || strncmp(path, "/proc", 5) == 0)
		return false;
	for (const char *at = path; at; at = strchr(at + 1, '/')) {
		size_t length = strcspn(at + 1, "/");
		if (length == 0 || (length <= 2 && strncmp(at + 1, "..", length) == 0))
			return false;
	}
	return true;
}

/* Whether the call on the desk looks at what the pod lacks and the host has, with no link on the
 * way: then whoever reads the pipe answers it, and has the object. */
static bool is_passed_on(struct answers *all, int listener, const struct desk *desk)
{
	const struct seccomp_data *data = &desk->note.data;
	if (all->misses < 0 || data->arch != all->arch || data->nr < 0 || data->nr >= CALLS)
		return false;
	const struct rule *rule = &all->rules[data->nr];
	size_t length = strlen(desk->path);
	if (rule->path < 0 || !rule->looks || length >= MISS_PATH || !is_normal(desk->path) ||
	    (rule->by >= 0 && data->args[rule->by] & rule->writes))
		return false;
	struct stat found = {0};
	int fd = look(all->root, desk->path, O_NOFOLLOW,
	              RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
	if (fd >= 0) {
		bool lacking = !fstat(fd, &found) && !S_ISLNK(found.st_mode) && is_hollow(all, &found);
		close(fd);
		if (!lacking)
			return false;
	} else if (errno != ENOENT) {
		return false;
	}
	fd = look(AT_FDCWD, desk->path, 0, RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return false;
	bool plain = !fstat(fd, &found) && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode));
	struct miss miss = {desk->note.id, found.st_dev,           listener, (int32_t)desk->note.pid,
	                    fd,            S_ISDIR(found.st_mode), (uint32_t)length, ""};
	memcpy(miss.path, desk->path, length);
	size_t size = offsetof(struct miss, path) + length;
	/* what was read was the caller's: its number could be another's by now */
	if (plain && ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &desk->note.id) == 0 &&
	    write(all->misses, &miss, size) == (ssize_t)size)
		return true;
	close(fd);
	return false;
}

/* The errno of receiving. With nobody left under the filter, whoever waits for that goes first. */
static int late(int listener)
{
	int code = errno;
	if (code == ENOENT && poll(&(struct pollfd){.fd = listener}, 1, 0) > 0)
		usleep(LATE_US);
	return code;
}

/* Answers what lacks nothing, until there is a call on the desk that may: 0. Or an errno of
 * receiving: ENOENT, its caller died or nobody is left under the filter. */
int podsh_answers_serve(struct answers *all, int listener, struct desk *desk)
{
	for (;;) {
		memset(&desk->note, 0, sizeof desk->note);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &desk->note))
			return late(listener);
		__atomic_add_fetch(&all->count, 1, __ATOMIC_RELAXED);
		struct seccomp_notif_resp answer = {.id = desk->note.id};
		if (lacks_nothing(all, desk))
			answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		else if (is_nobodys(all, desk))
			answer.error = -ENOENT;
		else if (is_passed_on(all, listener, desk))
			continue;
		else
			return 0;
		/* ENOENT: the caller is gone */
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) && errno != ENOENT)
			return errno;
	}
}
