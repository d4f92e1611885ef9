#ifndef PODSH_SCOPE_H
#define PODSH_SCOPE_H

/* The caller, and all that it starts from here on, reach no abstract UNIX socket of others and
 * signal nobody else: landlock(7), Linux 6.12. -1 after fail(). */
int scope_enter(void);

#endif
