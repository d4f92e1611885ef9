#ifndef PODSH_ENTER_H
#define PODSH_ENTER_H

/* `enter TEMPLATE_FD -- PROG ARGS`: U0/M0 and the template T, then exec. Does not return. */
_Noreturn void enter(int template_fd, char **command);

#endif
