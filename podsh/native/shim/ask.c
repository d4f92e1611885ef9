/* What was refused already, so that a program that looks again and again asks once. */
#include "shim.h"

#define SLOTS 128
/* what is refused may come to be on the host without anybody's granting it: asked again then */
#define KEPT_MS 1000
#define CLOCK_MONOTONIC_COARSE 6 /* linux/time.h */
struct refusal {
	uint64_t key;
	uint64_t since_ms;
};
static __thread struct refusal refusals[SLOTS] __attribute__((tls_model("initial-exec")));
/* changes of the working directory, of all threads: relative paths mean another file then */
static unsigned moves;
/* What the monitor shares with all programs of its pod (podsh/jail/generation.py). */
struct page {
	/* changes when what was refused may be had; 0: keep nothing */
	uint64_t generation;
	/* mounts that show what the host has at their place, all of it */
	uint64_t count;
	uint64_t whole[510];
};
_Static_assert(sizeof(struct page) == 4096, "one page");
/* NULL: not looked for yet */
static const struct page *shared;
static const struct page absent;

static const struct page *map_page(void)
{
	const struct page *mapped = &absent, *expected = NULL;
	long fd = call(__NR_openat, AT_FDCWD, (long)PODSH_GENERATION, O_RDONLY | O_CLOEXEC | O_NOFOLLOW,
	               0, 0, PODSH_COOKIE);
	if (fd >= 0) {
		/* an empty one would be a SIGBUS; what is short of a page reads as zeros */
		if (call(__NR_lseek, fd, 0, SEEK_END, 0, 0, 0) >= (long)sizeof mapped->generation) {
			long at = call(__NR_mmap, 0, sizeof *mapped, 1 /* PROT_READ */, 1 /* MAP_SHARED */, fd, 0);
			if (at > 0)
				mapped = (const struct page *)at;
		}
		close_fd(fd);
	}
	if (__atomic_compare_exchange_n(&shared, &expected, mapped, false, __ATOMIC_ACQ_REL,
	                                __ATOMIC_ACQUIRE))
		return mapped;
	if (mapped != &absent)
		call(__NR_munmap, (long)mapped, sizeof *mapped, 0, 0, 0, 0);
	return expected; /* another thread's */
}

static const struct page *the_page(void)
{
	const struct page *page = __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
	return page ? page : map_page();
}

static uint64_t clock_ms(void)
{
	uint64_t now[2]; /* struct timespec */
	call(__NR_clock_gettime, CLOCK_MONOTONIC_COARSE, (long)now, 0, 0, 0, 0);
	return now[0] * 1000 + now[1] / 1000000;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
	return hash ^ hash >> 29;
}

/* Never 0. The generation is part of it: its change forgets all at once. */
static uint64_t key_of(uint64_t now, enum kind kind, long error, const char *path)
{
	uint64_t hash = mix(now, (uint64_t)kind << 16 | (uint64_t)-error);
	if (*path != '/')
		hash = mix(hash, __atomic_load_n(&moves, __ATOMIC_RELAXED) + 1u);
	for (; *path; path++)
		hash = mix(hash, (unsigned char)*path);
	return hash | 1;
}

static bool is_whole(const struct page *page, uint64_t mount)
{
	uint64_t count = __atomic_load_n(&page->count, __ATOMIC_ACQUIRE);
	for (uint64_t i = 0; i < count && i < sizeof page->whole / sizeof page->whole[0]; i++) {
		if (__atomic_load_n(&page->whole[i], __ATOMIC_RELAXED) == mount)
			return true;
	}
	return false;
}

/* struct statx of linux/stat.h, which older headers have without the mount */
struct status {
	uint32_t mask;
	uint32_t before[35];
	uint64_t mount;
	uint64_t after[13];
};
_Static_assert(sizeof(struct status) == 256, "struct statx");
#define STATX_MNT_ID 0x1000 /* Linux 5.8 */

/* The mount of a directory, 0 where it is not told; or the error. */
static long mount_of(int dir, const char *path)
{
	struct status found;
	long result = call(__NR_statx, dir, (long)path, 0, STATX_MNT_ID, (long)&found, PODSH_COOKIE);
	if (result < 0)
		return result;
	return found.mask & STATX_MNT_ID ? (long)found.mount : 0;
}

#define STEPS 4     /* missing directories above a missing name */
#define LONGEST 512 /* what is longer is asked for: a signal's stack is small */

/* Whether a name that was not found is missing on the host as well: the last directory that is
 * there lies on a mount that shows all of it, and the next name is not in it, not even as a link
 * that leads elsewhere. The monitor would find nothing either. */
static bool is_nowhere(const struct page *page, int dir, const char *path)
{
	char copy[LONGEST], cut;
	size_t length = 0;
	if (!__atomic_load_n(&page->count, __ATOMIC_RELAXED))
		return false;
	for (; path[length]; length++) {
		if (length == sizeof copy - 1)
			return false;
		copy[length] = path[length];
	}
	for (int step = 0; step <= STEPS; step++) {
		while (length && copy[length - 1] == '/')
			length--;
		size_t name = length;
		while (name && copy[name - 1] != '/')
			name--;
		if (name == length)
			return false;
		copy[length] = '\0';
		cut = copy[name];
		copy[name] = '\0';
		long mount = mount_of(dir, name ? copy : ".");
		copy[name] = cut;
		if (mount == -ENOENT) {
			length = name;
			continue;
		}
		if (mount <= 0 || !is_whole(page, (uint64_t)mount))
			return false;
		return call(__NR_readlinkat, dir, (long)copy, (long)&cut, 1, 0, PODSH_COOKIE) == -ENOENT;
	}
	return false;
}

long ask(long first, enum kind kind, int dir, const char *path, long nr, long a, long b, long c,
         long d, long e)
{
	struct refusal *slot = NULL;
	uint64_t key = 0;
	if (!*path)
		return first;
	const struct page *page = the_page();
	uint64_t now = __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE);
	/* below a directory's descriptor nothing is kept: the next one may get the same number */
	if (now && kind != TWO_NAMES && (dir == AT_FDCWD || *path == '/')) {
		key = key_of(now, kind, first, path);
		slot = &refusals[key >> 32 & (SLOTS - 1)];
		if (slot->key == key && clock_ms() - slot->since_ms < KEPT_MS)
			return first;
	}
	long second = first;
	if (first != -ENOENT || kind >= CREATE || !is_nowhere(page, dir, path)) {
		second = call(nr, a, b, c, d, e, 0);
		if (second == -EINTR || second == -ENOSYS)
			return first;
	}
	if (slot && second == first)
		*slot = (struct refusal){key, clock_ms()};
	return second;
}

void moved(void)
{
	__atomic_add_fetch(&moves, 1, __ATOMIC_RELAXED);
}
