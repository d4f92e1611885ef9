/*
 * answers_fuzz DIRECTORY SEED COUNT: hostile calls, memory and programs for native/monitor/answer.c,
 * linked in with the sanitizers. What it asks the kernel for is answered here instead: RECV and
 * SEND, and reads of a caller's memory, which changes between them.
 *
 * DIRECTORY is the pod's root: a file `program` is written anew again and again.
 * Prints how many calls went on, were passed on, and were refused.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGES 3
#define ARCH 0xC000003Eu
#define CONNECT 42
#define RULES 512

struct answers;
struct desk;
struct answers *podsh_answers(uint32_t arch, int root);
void podsh_answers_rule(struct answers *all, uint32_t nr, int path, int by, int flags, int looks,
                        uint32_t writes);
void podsh_answers_connect(struct answers *all, int nr);
int podsh_answers_device(struct answers *all, uint64_t device, int masks);
void podsh_answers_believe(struct answers *all, const struct desk *desk);
void podsh_answers_forget(struct answers *all);
uint64_t podsh_answers_count(struct answers *all);
void podsh_answers_free(struct answers *all);
struct desk *podsh_desk(void);
void podsh_desk_free(struct desk *desk);
int podsh_answers_serve(struct answers *all, int listener, struct desk *desk);

int __wrap_ioctl(int fd, unsigned long request, ...);
ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *local, unsigned long locals,
                                const struct iovec *remote, unsigned long remotes,
                                unsigned long flags);

static uint64_t state;
static long left, went_on, passed, refused;
static uint64_t last_id;
static int last_nr;
static int program = -1;

/* a caller's memory: some pages of it, and where they begin */
static unsigned char memory[PAGES * PAGE];
static uint64_t base;
static unsigned mapped;

static void die(const char *why)
{
	fprintf(stderr, "answers_fuzz: %s\n", why);
	abort();
}

/* splitmix64 */
static uint64_t draw(void)
{
	uint64_t value = state += 0x9E3779B97F4A7C15u;
	value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
	value = (value ^ value >> 27) * 0x94D049BB133111EBu;
	return value ^ value >> 31;
}

static uint64_t below(uint64_t limit)
{
	return draw() % limit;
}

static uint64_t edge(void)
{
	static const uint64_t edges[] = {0, 1, 2, 110, 111, 4095, 4096, INT32_MAX, 1u << 31, UINT32_MAX,
	                                 INT64_MAX, UINT64_C(1) << 63, UINT64_MAX};
	return below(3) ? edges[below(sizeof edges / sizeof *edges)] : draw();
}

static const char *const names[] = {
	"/program", "/here", "/link", "/loop", "/away", "/empty", "/none", "/no/where", "/dir",
	"/dir/../here", "//here", "/", "/proc/self/exe", "here", "", "/fifo", "/dir/here/x", "/..",
};

/* A path, most often one that means something, where a caller may have it: at any place of a page. */
static uint64_t lay_path(unsigned before)
{
	uint64_t at = below(2) ? below(sizeof memory) : PAGE * below(PAGES) + PAGE - below(40);
	const char *name = names[below(sizeof names / sizeof *names)];
	size_t length = strlen(name) + 1;
	if (below(12) == 0)
		memset(memory, (int)(below(2) ? '/' : 'x'), sizeof memory);
	if (at < before)
		at = before;
	for (size_t i = 0; i < length && at + i < sizeof memory; i++)
		memory[at + i] = (unsigned char)name[i];
	if (below(8) == 0 && at + 1 < sizeof memory)
		memory[at] = '/';
	if (below(20) == 0 && at + length - 1 < sizeof memory)
		memory[at + length - 1] = 'x';
	return base + at;
}

/* Anything that calls itself a program. */
static void write_program(void)
{
	Elf64_Ehdr head = {.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_phoff = sizeof head,
	                   .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = (Elf64_Half)below(4)};
	Elf64_Phdr segments[4] = {{.p_type = PT_LOAD}, {.p_type = PT_LOAD}};
	char name[600];
	size_t length = below(3) ? 6 : below(sizeof name);
	memcpy(head.e_ident, "\x7f" "ELF\x02\x01\x01", 7);
	for (unsigned i = 0; i < 4; i++) {
		segments[i].p_type = below(2) ? PT_INTERP : (Elf64_Word)edge();
		segments[i].p_offset = sizeof head + sizeof segments;
		segments[i].p_filesz = length;
		if (below(4) == 0)
			segments[i].p_offset = edge();
		if (below(4) == 0)
			segments[i].p_filesz = edge();
	}
	memset(name, 'x', sizeof name);
	memcpy(name, "/here", 6);
	if (length)
		name[length - 1] = below(4) ? '\0' : 'x';
	switch (below(8)) {
	case 0:
		head.e_phoff = edge();
		break;
	case 1:
		head.e_phnum = (Elf64_Half)edge();
		break;
	case 2:
		head.e_phentsize = (Elf64_Half)edge();
		break;
	case 3:
		((unsigned char *)&head)[below(sizeof head)] = (unsigned char)draw();
		break;
	default:
		break;
	}
	struct iovec parts[] = {{&head, sizeof head}, {segments, sizeof segments}, {name, length}};
	if (ftruncate(program, 0) || pwritev(program, parts, 3, 0) < 0)
		die("the program cannot be written");
	if (below(6) == 0 && ftruncate(program, (off_t)below(400)))
		die("the program cannot be cut");
}

static void fill(struct seccomp_notif *note)
{
	base = below(6) ? PAGE * (1 + below(1 << 20)) : below(2) ? -(uint64_t)sizeof memory : 0;
	mapped = (unsigned)(below(3) ? 7 : below(8));
	note->id = last_id = draw();
	note->pid = (uint32_t)(below(9) ? 1 + below(1000) : edge());
	note->data.arch = below(12) ? ARCH : (uint32_t)edge();
	note->data.nr = below(12) ? (int)below(RULES) : (int)edge();
	for (unsigned i = 0; i < 6; i++)
		note->data.args[i] = below(2) ? edge() : below(8);
	if (below(3) == 0)
		note->data.nr = CONNECT;
	if (note->data.nr == CONNECT) {
		uint64_t at = lay_path(2);
		uint16_t family = (uint16_t)(below(9) ? AF_UNIX : edge());
		memcpy(memory + (at - base) - 2, &family, sizeof family);
		note->data.args[0] = below(3);
		note->data.args[1] = at - 2;
		note->data.args[2] = below(3) ? 3 + below(108) : edge();
	} else {
		note->data.args[below(6)] = lay_path(0);
		uint64_t at = lay_path(0);
		for (unsigned i = 0; i < 6; i++) {
			if (below(2))
				note->data.args[i] = at;
		}
	}
	last_nr = note->data.nr;
	if (below(4) == 0)
		write_program();
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list rest;
	va_start(rest, request);
	void *argument = va_arg(rest, void *);
	va_end(rest);
	(void)fd;
	if (request == SECCOMP_IOCTL_NOTIF_RECV) {
		if (left-- <= 0) {
			errno = ENOENT;
			return -1;
		}
		const unsigned char *bytes = argument;
		for (size_t i = 0; i < sizeof(struct seccomp_notif); i++) {
			if (bytes[i])
				die("what is received is not zeroed");
		}
		fill(argument);
		return 0;
	}
	if (request != SECCOMP_IOCTL_NOTIF_SEND)
		die("another request");
	const struct seccomp_notif_resp *answer = argument;
	if (answer->id != last_id || answer->val)
		die("an answer to another call");
	if (answer->flags == SECCOMP_USER_NOTIF_FLAG_CONTINUE && !answer->error)
		went_on++;
	else if (answer->flags == 0 && answer->error == -ENOENT && last_nr == CONNECT)
		refused++;
	else
		die("an answer that there is not");
	errno = ENOENT;
	return below(50) ? 0 : -1;
}

ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *local, unsigned long locals,
                                const struct iovec *remote, unsigned long remotes,
                                unsigned long flags)
{
	size_t done = 0;
	if (pid <= 0 || locals != 1 || flags)
		pid = 0;
	for (unsigned long i = 0; i < remotes && pid; i++) {
		for (size_t at = 0; at < remote[i].iov_len && done < local->iov_len; at++) {
			uint64_t offset = (uint64_t)(uintptr_t)remote[i].iov_base + at - base;
			if (offset >= sizeof memory || !(mapped >> offset / PAGE & 1))
				goto end;
			((unsigned char *)local->iov_base)[done++] = memory[offset];
		}
	}
end:
	/* another thread of the caller's */
	if (below(4) == 0)
		memory[below(sizeof memory)] = (unsigned char)draw();
	if (below(8) == 0)
		mapped = (unsigned)below(8);
	if (done)
		return (ssize_t)done;
	errno = pid ? EFAULT : ESRCH;
	return -1;
}

int main(int argc, char **argv)
{
	struct stat found;
	if (argc != 4 || chdir(argv[1]) || stat(".", &found))
		return 2;
	state = strtoull(argv[2], NULL, 10);
	left = strtol(argv[3], NULL, 10);
	program = open("program", O_RDWR | O_CREAT, 0755);
	int root = open(".", O_PATH | O_DIRECTORY);
	struct answers *all = podsh_answers(ARCH, root);
	struct desk *desk = podsh_desk();
	if (program < 0 || root < 0 || !all || !desk)
		return 2;
	for (uint32_t nr = 0; nr < RULES + 5; nr++) {
		if (nr != CONNECT && below(8))
			podsh_answers_rule(all, nr, (int)below(6), (int)below(7) - 1, (int)below(7) - 1,
			                   below(2) != 0, (uint32_t)edge());
	}
	podsh_answers_connect(all, CONNECT);
	while (podsh_answers_serve(all, -1, desk) == 0) {
		passed++;
		if (below(3) == 0)
			podsh_answers_believe(all, desk);
		if (below(100) == 0)
			podsh_answers_forget(all);
		if (below(1000) == 0)
			podsh_answers_device(all, below(4) ? draw() : found.st_dev, below(2) != 0);
	}
	printf("%ld %ld %ld\n", went_on, passed, refused);
	bool whole = went_on + passed + refused == strtol(argv[3], NULL, 10);
	whole = whole && podsh_answers_count(all) == (uint64_t)(went_on + passed + refused);
	podsh_answers_free(all);
	podsh_desk_free(desk);
	return whole ? 0 : 1;
}
