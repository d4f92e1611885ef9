/* Hooks that open and look. */
#include <linux/limits.h>
#include <stdarg.h>

#include "shim.h"

/* libc's: each may be missing */
typedef struct file FILE;
typedef struct dir DIR;
struct stat;
struct statx;
struct statfs;
struct timespec;
WEAK extern FILE *fdopen(int fd, const char *mode);
WEAK extern FILE *_IO_fopen(const char *path, const char *mode); /* glibc's fopen, not ours */
WEAK extern DIR *fdopendir(int fd);
WEAK extern void *malloc(size_t size);
WEAK extern void free(void *memory);
WEAK extern char *canonicalize_file_name(const char *path); /* glibc's realpath, not ours */
WEAK extern void *dlsym(void *where, const char *name);
WEAK extern _Noreturn void __chk_fail(void);
#define NEXT ((void *)-1L) /* RTLD_NEXT */

static int open_at(int dir, const char *path, int flags, unsigned mode)
{
	enum kind kind = READ;
	if (!(flags & O_PATH)) {
		if (flags & O_CREAT)
			kind = CREATE;
		else if (flags & (O_ACCMODE | O_TRUNC | TMPFILE))
			kind = WRITE;
	}
	return (int)TRY_AT(kind, __NR_openat, dir, path, flags, mode, 0);
}

#define MODE(flags)                                                                                \
	unsigned mode = 0;                                                                               \
	if (flags & (O_CREAT | TMPFILE)) {                                                               \
		va_list rest;                                                                                  \
		va_start(rest, flags);                                                                         \
		mode = va_arg(rest, unsigned);                                                                 \
		va_end(rest);                                                                                  \
	}

HOOK(int, open, const char *path, int flags, ...)
{
	MODE(flags)
	return open_at(AT_FDCWD, path, flags, mode);
}
SAME(int, open64, open, const char *path, int flags, ...);
SAME(int, __open, open, const char *path, int flags, ...);
SAME(int, __open64, open, const char *path, int flags, ...);

HOOK(int, openat, int dir, const char *path, int flags, ...)
{
	MODE(flags)
	return open_at(dir, path, flags, mode);
}
SAME(int, openat64, openat, int dir, const char *path, int flags, ...);

static void check(bool good)
{
	if (good)
		return;
	if (__chk_fail)
		__chk_fail();
	__builtin_trap();
}

/* _FORTIFY_SOURCE: a file may be made, and no mode was given */
HOOK(int, __open_2, const char *path, int flags)
{
	check(!(flags & (O_CREAT | TMPFILE)));
	return open_at(AT_FDCWD, path, flags, 0);
}
SAME(int, __open64_2, __open_2, const char *path, int flags);

HOOK(int, __openat_2, int dir, const char *path, int flags)
{
	check(!(flags & (O_CREAT | TMPFILE)));
	return open_at(dir, path, flags, 0);
}
SAME(int, __openat64_2, __openat_2, int dir, const char *path, int flags);

HOOK(int, creat, const char *path, unsigned mode)
{
	return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
SAME(int, creat64, creat, const char *path, unsigned mode);

/* The flags of an fopen mode; -1: not one, or one that fdopen does not know (a character set). */
static int flags_of(const char *mode)
{
	int flags;
	switch (*mode) {
	case 'r':
		flags = O_RDONLY;
		break;
	case 'w':
		flags = O_WRONLY | O_CREAT | O_TRUNC;
		break;
	case 'a':
		flags = O_WRONLY | O_CREAT | O_APPEND;
		break;
	default:
		return -1;
	}
	while (*++mode) {
		switch (*mode) {
		case '+':
			flags = (flags & ~O_ACCMODE) | O_RDWR;
			break;
		case 'x':
			flags |= O_EXCL;
			break;
		case 'e':
			flags |= O_CLOEXEC;
			break;
		case ',':
			return -1;
		default:
			break;
		}
	}
	return flags;
}

HOOK(FILE *, fopen, const char *path, const char *mode)
{
	int flags = flags_of(mode);
	if (flags < 0 && _IO_fopen)
		return _IO_fopen(path, mode);
	if (flags < 0 || !fdopen) {
		set_errno(EINVAL);
		return NULL;
	}
	int fd = open_at(AT_FDCWD, path, flags, 0666);
	if (fd < 0)
		return NULL;
	/* as fopen does: the offset is where the next write goes */
	if ((flags & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY))
		call(__NR_lseek, fd, 0, SEEK_END, 0, 0, 0);
	FILE *stream = fdopen(fd, mode);
	if (!stream)
		close_fd(fd);
	return stream;
}
SAME(FILE *, fopen64, fopen, const char *path, const char *mode);

HOOK(DIR *, opendir, const char *path)
{
	if (!fdopendir) {
		set_errno(ENOSYS);
		return NULL;
	}
	int fd = open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	DIR *stream = fdopendir(fd);
	if (!stream)
		close_fd(fd);
	return stream;
}

static int stat_at(int dir, const char *path, void *found, int flags)
{
	if (flags & AT_EMPTY_PATH)
		return (int)done(call(__NR_newfstatat, dir, (long)path, (long)found, flags, 0, PODSH_COOKIE));
	return (int)TRY_AT(READ, __NR_newfstatat, dir, path, found, flags, 0);
}

HOOK(int, fstatat, int dir, const char *path, struct stat *found, int flags)
{
	return stat_at(dir, path, found, flags);
}
SAME(int, fstatat64, fstatat, int dir, const char *path, struct stat *found, int flags);

/* No path and no question; glibc makes it by a call whose arguments the filter has to look at. */
HOOK(int, fstat, int fd, struct stat *found)
{
	return (int)done(call(__NR_fstat, fd, (long)found, 0, 0, 0, 0));
}
SAME(int, fstat64, fstat, int fd, struct stat *found);

HOOK(int, stat, const char *path, struct stat *found)
{
	return stat_at(AT_FDCWD, path, found, 0);
}
SAME(int, stat64, stat, const char *path, struct stat *found);

HOOK(int, lstat, const char *path, struct stat *found)
{
	return stat_at(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW);
}
SAME(int, lstat64, lstat, const char *path, struct stat *found);

/* What programs built against glibc before 2.33 call. version: of the structure; there is one. */
HOOK(int, __xstat, int version, const char *path, struct stat *found)
{
	(void)version;
	return stat_at(AT_FDCWD, path, found, 0);
}
SAME(int, __xstat64, __xstat, int version, const char *path, struct stat *found);

HOOK(int, __lxstat, int version, const char *path, struct stat *found)
{
	(void)version;
	return stat_at(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW);
}
SAME(int, __lxstat64, __lxstat, int version, const char *path, struct stat *found);

HOOK(int, __fxstatat, int version, int dir, const char *path, struct stat *found, int flags)
{
	(void)version;
	return stat_at(dir, path, found, flags);
}
SAME(int, __fxstatat64, __fxstatat, int version, int dir, const char *path, struct stat *found,
     int flags);

HOOK(int, statx, int dir, const char *path, int flags, unsigned mask, struct statx *found)
{
	if (flags & AT_EMPTY_PATH)
		return (int)done(call(__NR_statx, dir, (long)path, flags, mask, (long)found, PODSH_COOKIE));
	return (int)TRY_AT(READ, __NR_statx, dir, path, flags, mask, found);
}

HOOK(int, statfs, const char *path, struct statfs *found)
{
	return (int)TRY(READ, path, __NR_statfs, (long)path, (long)found, 0, 0, 0);
}
SAME(int, statfs64, statfs, const char *path, struct statfs *found);

static enum kind kind_of_access(int mode)
{
	return mode & 2 /* W_OK */ ? WRITE : READ;
}

HOOK(int, faccessat, int dir, const char *path, int mode, int flags)
{
	enum kind kind = kind_of_access(mode);
	if (flags)
		return (int)TRY_AT(kind, __NR_faccessat2, dir, path, mode, flags, 0);
	return (int)TRY_AT(kind, __NR_faccessat, dir, path, mode, 0, 0);
}

HOOK(int, access, const char *path, int mode)
{
	return (int)TRY_AT(kind_of_access(mode), __NR_faccessat, AT_FDCWD, path, mode, 0, 0);
}

HOOK(int, eaccess, const char *path, int mode)
{
	return (int)TRY_AT(kind_of_access(mode), __NR_faccessat2, AT_FDCWD, path, mode, AT_EACCESS, 0);
}
SAME(int, euidaccess, eaccess, const char *path, int mode);

HOOK(long, readlinkat, int dir, const char *path, char *target, size_t size)
{
	return TRY_AT(READ, __NR_readlinkat, dir, path, target, size, 0);
}

HOOK(long, readlink, const char *path, char *target, size_t size)
{
	return TRY_AT(READ, __NR_readlinkat, AT_FDCWD, path, target, size, 0);
}

HOOK(long, __readlinkat_chk, int dir, const char *path, char *target, size_t size, size_t room)
{
	check(size <= room);
	return TRY_AT(READ, __NR_readlinkat, dir, path, target, size, 0);
}

HOOK(long, __readlink_chk, const char *path, char *target, size_t size, size_t room)
{
	check(size <= room);
	return TRY_AT(READ, __NR_readlinkat, AT_FDCWD, path, target, size, 0);
}

/* ---------------------------------------------------------------- realpath */

/* The digits of a number before end; where they begin. */
static char *digits(char *end, long number)
{
	do
		*--end = (char)('0' + number % 10);
	while (number /= 10);
	return end;
}

static char *copy(char *to, const char *text)
{
	size_t at = 0;
	do {
		/* or the compiler would call strcpy or memcpy, which is not weak */
		__asm__ volatile("" ::: "memory");
		to[at] = text[at];
	} while (text[at++]);
	return to;
}

/* libc's own: each step of it is asked for, and it needs no procfs. */
static char *slow_realpath(const char *path, char *out)
{
	char *(*next)(const char *, char *) = NULL;
	if (canonicalize_file_name && free) {
		char *found = canonicalize_file_name(path);
		if (!found || !out)
			return found;
		copy(out, found);
		free(found);
		return out;
	}
	if (dlsym)
		*(void **)&next = dlsym(NEXT, "realpath");
	if (next)
		return next(path, out);
	set_errno(ENOSYS);
	return NULL;
}

/* The kernel resolves the path at once, and procfs says where that is. */
HOOK(char *, realpath, const char *path, char *out)
{
	static const char prefix[] = "/proc/self/fd/", deleted[] = " (deleted)";
	char link[sizeof prefix + 20], found[PATH_MAX];
	if (!path) {
		set_errno(EINVAL);
		return NULL;
	}
	int fd = open_at(AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	link[sizeof link - 1] = '\0';
	char *name = digits(link + sizeof link - 1, fd);
	for (size_t i = sizeof prefix - 1; i--;)
		*--name = prefix[i];
	long length = call(__NR_readlinkat, AT_FDCWD, (long)name, (long)found, sizeof found, 0,
	                   PODSH_COOKIE);
	close_fd(fd);
	/* not a file, out of sight, too long, or a name that no longer is one */
	if (length <= 0 || length == sizeof found || found[0] != '/')
		return slow_realpath(path, out);
	size_t tail = sizeof deleted - 1, same = 0;
	while (same < tail && (size_t)length > tail &&
	       found[(size_t)length - tail + same] == deleted[same])
		same++;
	if (same == tail)
		return slow_realpath(path, out);
	if (!out) {
		out = malloc ? malloc((size_t)length + 1) : NULL;
		if (!out) {
			set_errno(ENOMEM);
			return NULL;
		}
	}
	found[length] = '\0';
	return copy(out, found);
}

HOOK(char *, __realpath_chk, const char *path, char *out, size_t room)
{
	check(room >= PATH_MAX);
	return realpath(path, out);
}
