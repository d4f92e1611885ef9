#include "scope.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

/* linux/landlock.h; older headers lack the last member. */
struct ruleset_attr {
	uint64_t handled_access_fs, handled_access_net, scoped;
};
#define SCOPE_ABSTRACT_UNIX_SOCKET (1u << 0)
#define SCOPE_SIGNAL (1u << 1)

int scope_enter(void)
{
	/* No access of files is handled: mounting, which such a domain would forbid, stays ours. */
	static const struct ruleset_attr attr = {
		.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,
	};
	OWNED_FD ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (ruleset < 0)
		return fail("landlock_create_ruleset", NULL);
	/* by CAP_SYS_ADMIN of our own, without no_new_privs */
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return fail("landlock_restrict_self", NULL);
	return 0;
}
