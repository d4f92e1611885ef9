/* The preload shim: an accelerator, and nothing depends on it.
 *
 * In a pod every call with a path is sent to its monitor, unless argument 6 is the cookie. The shim
 * makes each call with the cookie first: what the pod has already is reached at native speed. Only
 * what the kernel refuses is asked for, by the same call without the cookie.
 *
 * It needs no library: whatever it takes from libc is weak, so that programs of glibc and of musl
 * load it alike. No constructors, no state but the cache of refusals. Compiled with PODSH_COOKIE
 * and PODSH_GENERATION (podsh/kernel/shim.py); x86_64 and aarch64, no 32-bit ABI. */
#ifndef PODSH_SHIM_H
#define PODSH_SHIM_H

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(sizeof(long) == 8, "structures are passed through: LP64 only");

#ifndef __NR_faccessat2
#define __NR_faccessat2 439
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#define SEEK_END 2 /* linux/fs.h */
#define TMPFILE 020000000 /* __O_TMPFILE: O_TMPFILE without O_DIRECTORY */

/* errno of libc, of which even that may be missing */
#define WEAK __attribute__((weak))
WEAK extern int *__errno_location(void);

/* The register of argument 6 is zeroed afterwards: another call with fewer arguments, made by
 * somebody else, would carry the cookie by accident and not be asked for. */
static inline long call(long nr, long a, long b, long c, long d, long e, unsigned long f)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register unsigned long r9 __asm__("r9") = f;
	__asm__ volatile("syscall\n\txorl %%r9d, %%r9d"
	                 : "=a"(result), "+r"(r9)
	                 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
	                 : "rcx", "r11", "memory", "cc");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register unsigned long x5 __asm__("x5") = f;
	__asm__ volatile("svc #0\n\tmov x5, xzr"
	                 : "+r"(x0), "+r"(x5)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
	                 : "memory", "cc");
	return x0;
#else
#error "the shim knows x86_64 and aarch64"
#endif
}

static inline void set_errno(int error)
{
	if (__errno_location)
		*__errno_location() = error;
}

static inline long done(long result)
{
	if (__builtin_expect(result < 0 && result >= -4095, 0)) {
		set_errno((int)-result);
		return -1;
	}
	return result;
}

/* Leaves errno alone. */
static inline void close_fd(long fd)
{
	call(__NR_close, fd, 0, 0, 0, 0, 0);
}

/* What is asked of a path. Only refusals of the same kind are the same refusal: a name that is not
 * there to be read may still be made. */
enum kind { READ, WRITE, REMOVE, CREATE, TWO_NAMES };

static inline bool refused(long result)
{
	return result == -ENOENT || result == -EACCES || result == -EROFS || result == -EPERM;
}

/* The call again, for the monitor to see. What comes of it is the answer, unless it says nothing
 * of the path: a signal came before the monitor had it, or nobody listens. The path is relative to
 * the descriptor dir. */
long ask(long first, enum kind kind, int dir, const char *path, long nr, long a, long b, long c,
         long d, long e);
/* The working directory is another one. */
void moved(void);

/* One call: with the cookie, and if the kernel refuses, without. Sets no errno. */
static inline __attribute__((always_inline)) long try(enum kind kind, int dir, const char *path,
                                                      long nr, long a, long b, long c, long d,
                                                      long e)
{
	long result = call(nr, a, b, c, d, e, PODSH_COOKIE);
	if (__builtin_expect(refused(result), 0))
		return ask(result, kind, dir, path, nr, a, b, c, d, e);
	return result;
}

#define TRY(kind, path, ...) done(try(kind, AT_FDCWD, path, __VA_ARGS__))
/* dir and path are the call's first two arguments */
#define TRY_AT(kind, nr, dir, path, c, d, e)                                                       \
	done(try(kind, dir, path, nr, dir, (long)(path), (long)(c), (long)(d), (long)(e)))

#define HOOK(type, name, ...)                                                                      \
	__attribute__((visibility("default"))) type name(__VA_ARGS__);                                   \
	type name(__VA_ARGS__)
#define SAME(type, name, of, ...)                                                                  \
	__attribute__((visibility("default"), alias(#of))) type name(__VA_ARGS__)

#endif
