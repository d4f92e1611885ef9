/* User namespace id maps: an ordinary user's own ids, or all that root has here. */
#ifndef PODSH_MAPS_H
#define PODSH_MAPS_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether whole ranges are to be mapped, which only a process outside the new namespace may. */
bool maps_whole(void);
/* Ordinary user, called inside the new namespace: uid to uid, gid to gid, setgroups denied. */
int maps_write_own(uid_t uid, gid_t gid);
/* Called outside, in the parent namespace, with its capabilities: every range of ours mapped to
 * itself. process: its directory in procfs. */
int maps_write_whole(const char *process);

#endif
