/* Makes the calls that its arguments name and prints what each gave: OPERATION PATH…
 * Built against glibc and musl, dynamic and static; what it prints has to be the same always. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifdef __GLIBC__
int __open_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
ssize_t __readlink_chk(const char *path, char *target, size_t size, size_t room);
char *__realpath_chk(const char *path, char *out, size_t room);
#endif

static char text[PATH_MAX + 64];
static struct stat found;

static int opened(int fd)
{
	struct stat of;
	if (fd < 0)
		return -1;
	snprintf(text, sizeof text, "flags %o mode %o", fcntl(fd, F_GETFL) & ~O_NOFOLLOW,
	         fstat(fd, &of) ? 0 : of.st_mode);
	return close(fd);
}

static int streamed(FILE *stream, const char *mode)
{
	if (!stream)
		return -1;
	snprintf(text, sizeof text, "at %ld cloexec %d", mode[0] == 'a' ? -1 : ftell(stream),
	         fcntl(fileno(stream), F_GETFD));
	if (mode[0] != 'r')
		fputs("more", stream);
	return fclose(stream);
}

static int listed(DIR *stream)
{
	int count = 0;
	if (!stream)
		return -1;
	while (readdir(stream))
		count++;
	snprintf(text, sizeof text, "%d entries", count);
	return closedir(stream);
}

static int looked(int result)
{
	if (result == 0)
		snprintf(text, sizeof text, "mode %o size %ld", found.st_mode,
		         S_ISDIR(found.st_mode) ? 0 : (long)found.st_size);
	return result;
}

static int linked(ssize_t length)
{
	if (length >= 0)
		text[length] = '\0';
	return length < 0 ? -1 : 0;
}

static int resolved(char *path, int owned)
{
	if (!path)
		return -1;
	if (path != text)
		snprintf(text, sizeof text, "%s", path);
	if (owned)
		free(path);
	return 0;
}

static int make(const char *op, const char *path)
{
	char other[PATH_MAX];
	char value[64];
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
	snprintf(other, sizeof other, "%s.new", path);
#define IS(name) (!strcmp(op, name))
	if (IS("open")) return opened(open(path, O_RDONLY));
	if (IS("open-write")) return opened(open(path, O_WRONLY | O_APPEND));
	if (IS("open-create")) return opened(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640));
	if (IS("open-path")) return opened(open(path, O_PATH | O_NOFOLLOW));
	if (IS("open-temporary")) return opened(open(path, O_TMPFILE | O_RDWR, 0600));
	if (IS("openat")) return opened(openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK));
	if (IS("creat")) return opened(creat(path, 0600));
	if (IS("fopen")) return streamed(fopen(path, "re"), "r");
	if (IS("fopen-write")) return streamed(fopen(path, "w"), "w");
	if (IS("fopen-append")) return streamed(fopen(path, "a"), "a");
	if (IS("fopen-update")) return streamed(fopen(path, "r+b"), "r");
	if (IS("fopen-new")) return streamed(fopen(path, "wx"), "w");
	if (IS("fopen-bad")) return streamed(fopen(path, "q"), "r");
	if (IS("opendir")) return listed(opendir(path));
	if (IS("stat")) return looked(stat(path, &found));
	if (IS("lstat")) return looked(lstat(path, &found));
	if (IS("fstatat")) return looked(fstatat(AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW));
	if (IS("access")) return access(path, R_OK);
	if (IS("access-write")) return access(path, W_OK);
	if (IS("faccessat")) return faccessat(AT_FDCWD, path, X_OK, 0);
	if (IS("faccessat-flags")) return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS);
	if (IS("readlink")) return linked(readlink(path, text, sizeof text - 1));
	if (IS("readlinkat")) return linked(readlinkat(AT_FDCWD, path, text, sizeof text - 1));
	if (IS("realpath")) return resolved(realpath(path, text), 0);
	if (IS("realpath-own")) return resolved(realpath(path, NULL), 1);
	if (IS("chdir")) return chdir(path);
	if (IS("mkdir")) return mkdir(path, 0700);
	if (IS("mkdirat")) return mkdirat(AT_FDCWD, path, 0755);
	if (IS("rmdir")) return rmdir(path);
	if (IS("unlink")) return unlink(path);
	if (IS("unlinkat")) return unlinkat(AT_FDCWD, path, 0);
	if (IS("rename")) return rename(path, other);
	if (IS("renameat")) return renameat(AT_FDCWD, path, AT_FDCWD, other);
	if (IS("link")) return link(path, other);
	if (IS("linkat")) return linkat(AT_FDCWD, path, AT_FDCWD, other, 0);
	if (IS("symlink")) return symlink("target", path);
	if (IS("symlinkat")) return symlinkat("target", AT_FDCWD, path);
	if (IS("truncate")) return truncate(path, 3);
	if (IS("chmod")) return chmod(path, 0700);
	if (IS("fchmodat")) return fchmodat(AT_FDCWD, path, 0750, 0);
	if (IS("chown")) return chown(path, getuid(), (gid_t)-1);
	if (IS("lchown")) return lchown(path, getuid(), (gid_t)-1);
	if (IS("fchownat")) return fchownat(AT_FDCWD, path, (uid_t)-1, (gid_t)-1, 0);
	if (IS("utimensat")) return utimensat(AT_FDCWD, path, times, 0);
	if (IS("mknod")) return mknod(path, S_IFIFO | 0600, 0);
	if (IS("mkfifo")) return mkfifo(path, 0600);
	if (IS("setxattr")) return setxattr(path, "user.x", "value", 5, 0);
	if (IS("getxattr")) return getxattr(path, "user.x", value, sizeof value) < 0 ? -1 : 0;
	if (IS("lgetxattr")) return lgetxattr(path, "user.x", value, sizeof value) < 0 ? -1 : 0;
	if (IS("listxattr")) return listxattr(path, value, sizeof value) < 0 ? -1 : 0;
	if (IS("removexattr")) return removexattr(path, "user.x");
	if (IS("inotify")) return inotify_add_watch(inotify_init(), path, IN_OPEN) < 0 ? -1 : 0;
	if (IS("statfs")) {
		struct statfs of;
		return statfs(path, &of);
	}
#ifdef __GLIBC__
	if (IS("fopen-charset")) return streamed(fopen(path, "r,ccs=UTF-8"), "r");
	if (IS("open-fortified")) return opened(__open_2(path, O_RDONLY));
	if (IS("openat-fortified")) return opened(__openat_2(AT_FDCWD, path, O_RDONLY));
	if (IS("readlink-fortified"))
		return linked(__readlink_chk(path, text, PATH_MAX, sizeof text));
	if (IS("realpath-fortified")) return resolved(__realpath_chk(path, text, sizeof text), 0);
	if (IS("statx")) {
		struct statx of;
		return statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &of);
	}
	if (IS("euidaccess")) return euidaccess(path, W_OK);
#endif
	if (IS("in-directory")) { /* relative to a descriptor */
		int dir = open(path, O_PATH | O_DIRECTORY);
		if (dir < 0)
			return -1;
		int result = looked(fstatat(dir, "absent-in-it", &found, 0));
		int error = errno;
		close(dir);
		errno = error;
		return result;
	}
	if (IS("pause")) { /* until the test has done what it wants to */
		puts("paused");
		fflush(stdout);
		return getchar() == EOF ? -1 : 0;
	}
	if (IS("preloaded")) {
		int seen = 0;
		char line[PATH_MAX];
		FILE *maps = fopen("/proc/self/maps", "r");
		while (maps && fgets(line, sizeof line, maps))
			seen |= strstr(line, path) != NULL;
		snprintf(text, sizeof text, "%d", seen);
		return maps ? fclose(maps) : -1;
	}
#ifdef __x86_64__
	if (IS("register")) {
		unsigned long r9;
		int result = stat(path, &found);
		__asm__ volatile("mov %%r9, %0" : "=r"(r9));
		snprintf(text, sizeof text, "%d", r9 == COOKIE);
		return result;
	}
#endif
	printf("no operation %s\n", op);
	exit(2);
}

int main(int argc, char **argv)
{
	umask(022);
	for (int i = 1; i + 1 < argc; i += 2) {
		text[0] = '\0';
		errno = 0;
		int result = make(argv[i], argv[i + 1]);
		int error = result < 0 ? errno : 0;
		printf("%s %s: %d %s%s%s\n", argv[i], argv[i + 1], result, error ? strerror(error) : "",
		       result < 0 ? "" : text, "");
	}
	return 0;
}
