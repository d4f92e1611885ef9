#ifndef PODSH_JAIL_H
#define PODSH_JAIL_H

/* What the template holds besides /proc: where the pod's tree is put together, and what masks
 * show. A file and a directory of mode 000: without capabilities uid 0 cannot open them either. */
#define STAGING "/s"
#define MASK_FILE "/f"
#define MASK_DIR "/d"

/* `jail FD`: makes a jail's namespaces and becomes its PID 1. Does not return. */
_Noreturn void jail(int control, char **argv);

#endif
