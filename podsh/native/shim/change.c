/* Hooks that change names and what they stand for, and the working directory. */
#include "shim.h"

#define S_IFIFO 0010000 /* linux/stat.h */

struct timespec;

/* ---------------------------------------------------------------- the working directory */

HOOK(int, chdir, const char *path)
{
	int result = (int)TRY(READ, path, __NR_chdir, (long)path, 0, 0, 0, 0);
	moved();
	return result;
}

HOOK(int, fchdir, int fd)
{
	int result = (int)done(call(__NR_fchdir, fd, 0, 0, 0, 0, 0));
	moved();
	return result;
}

/* ---------------------------------------------------------------- names */

HOOK(int, mkdirat, int dir, const char *path, unsigned mode)
{
	return (int)TRY_AT(CREATE, __NR_mkdirat, dir, path, mode, 0, 0);
}

HOOK(int, mkdir, const char *path, unsigned mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

HOOK(int, unlinkat, int dir, const char *path, int flags)
{
	return (int)TRY_AT(REMOVE, __NR_unlinkat, dir, path, flags, 0, 0);
}

HOOK(int, unlink, const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

HOOK(int, rmdir, const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* Two names: which of them was refused is not known, so never cached. */
HOOK(int, renameat2, int from, const char *old, int to, const char *name, unsigned flags)
{
	return (int)TRY(TWO_NAMES, old, __NR_renameat2, from, (long)old, to, (long)name, flags);
}

HOOK(int, renameat, int from, const char *old, int to, const char *name)
{
	return renameat2(from, old, to, name, 0);
}

HOOK(int, rename, const char *old, const char *name)
{
	return renameat2(AT_FDCWD, old, AT_FDCWD, name, 0);
}

HOOK(int, linkat, int from, const char *old, int to, const char *name, int flags)
{
	return (int)TRY(TWO_NAMES, old, __NR_linkat, from, (long)old, to, (long)name, flags);
}

HOOK(int, link, const char *old, const char *name)
{
	return linkat(AT_FDCWD, old, AT_FDCWD, name, 0);
}

HOOK(int, symlinkat, const char *target, int dir, const char *path)
{
	return (int)done(try(CREATE, dir, path, __NR_symlinkat, (long)target, dir, (long)path, 0, 0));
}

HOOK(int, symlink, const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

HOOK(int, mknodat, int dir, const char *path, unsigned mode, unsigned long device)
{
	if (device > UINT32_MAX) {
		set_errno(EINVAL);
		return -1;
	}
	return (int)TRY_AT(CREATE, __NR_mknodat, dir, path, mode, device, 0);
}

HOOK(int, mknod, const char *path, unsigned mode, unsigned long device)
{
	return mknodat(AT_FDCWD, path, mode, device);
}

HOOK(int, mkfifoat, int dir, const char *path, unsigned mode)
{
	return mknodat(dir, path, mode | S_IFIFO, 0);
}

HOOK(int, mkfifo, const char *path, unsigned mode)
{
	return mkfifoat(AT_FDCWD, path, mode);
}

/* ---------------------------------------------------------------- objects */

HOOK(int, truncate, const char *path, long length)
{
	return (int)TRY(WRITE, path, __NR_truncate, (long)path, length, 0, 0, 0);
}
SAME(int, truncate64, truncate, const char *path, long length);

HOOK(int, fchmodat, int dir, const char *path, unsigned mode, int flags)
{
	if (!flags)
		return (int)TRY_AT(WRITE, __NR_fchmodat, dir, path, mode, 0, 0);
	int result = (int)TRY_AT(WRITE, __NR_fchmodat2, dir, path, mode, flags, 0);
	/* before Linux 6.6: what libc says of a flag that it cannot pass on */
	if (result < 0 && __errno_location && *__errno_location() == ENOSYS)
		set_errno(EOPNOTSUPP);
	return result;
}

HOOK(int, chmod, const char *path, unsigned mode)
{
	return fchmodat(AT_FDCWD, path, mode, 0);
}

HOOK(int, fchownat, int dir, const char *path, unsigned user, unsigned group, int flags)
{
	return (int)TRY_AT(WRITE, __NR_fchownat, dir, path, user, group, flags);
}

HOOK(int, chown, const char *path, unsigned user, unsigned group)
{
	return fchownat(AT_FDCWD, path, user, group, 0);
}

HOOK(int, lchown, const char *path, unsigned user, unsigned group)
{
	return fchownat(AT_FDCWD, path, user, group, AT_SYMLINK_NOFOLLOW);
}

HOOK(int, utimensat, int dir, const char *path, const struct timespec *times, int flags)
{
	if (!path) {
		/* the kernel would take the directory itself */
		set_errno(EINVAL);
		return -1;
	}
	return (int)TRY_AT(WRITE, __NR_utimensat, dir, path, times, flags, 0);
}

HOOK(int, inotify_add_watch, int fd, const char *path, uint32_t mask)
{
	return (int)TRY(READ, path, __NR_inotify_add_watch, fd, (long)path, mask, 0, 0);
}

/* ---------------------------------------------------------------- extended attributes */

HOOK(int, setxattr, const char *path, const char *name, const void *value, size_t size, int flags)
{
	return (int)TRY(WRITE, path, __NR_setxattr, (long)path, (long)name, (long)value, (long)size,
	                flags);
}

HOOK(int, lsetxattr, const char *path, const char *name, const void *value, size_t size, int flags)
{
	return (int)TRY(WRITE, path, __NR_lsetxattr, (long)path, (long)name, (long)value, (long)size,
	                flags);
}

HOOK(long, getxattr, const char *path, const char *name, void *value, size_t size)
{
	return TRY(READ, path, __NR_getxattr, (long)path, (long)name, (long)value, (long)size, 0);
}

HOOK(long, lgetxattr, const char *path, const char *name, void *value, size_t size)
{
	return TRY(READ, path, __NR_lgetxattr, (long)path, (long)name, (long)value, (long)size, 0);
}

HOOK(long, listxattr, const char *path, char *names, size_t size)
{
	return TRY(READ, path, __NR_listxattr, (long)path, (long)names, (long)size, 0, 0);
}

HOOK(long, llistxattr, const char *path, char *names, size_t size)
{
	return TRY(READ, path, __NR_llistxattr, (long)path, (long)names, (long)size, 0, 0);
}

HOOK(int, removexattr, const char *path, const char *name)
{
	return (int)TRY(WRITE, path, __NR_removexattr, (long)path, (long)name, 0, 0, 0);
}

HOOK(int, lremovexattr, const char *path, const char *name)
{
	return (int)TRY(WRITE, path, __NR_lremovexattr, (long)path, (long)name, 0, 0, 0);
}
