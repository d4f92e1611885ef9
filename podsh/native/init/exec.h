/* From a child of PID 1 to the program. */
#ifndef PODSH_EXEC_H
#define PODSH_EXEC_H

#include "plan.h"

/* In the child: session, terminal, limits, credentials, filter, exec. Before the exec the
 * filter's listener is sent to status as LISTENER, if asked for; what fails, as FAILED. stdio: -1
 * for the terminal. inner: the user namespace in which it may keep capabilities, or -1. */
_Noreturn void program_become(uint32_t id, const struct program *program, const int stdio[3],
                              int master, int status, int inner);

/* The same in two steps. In the child, before anybody asks: session, terminal, credentials, filter
 * of `usual`; LISTENER and ACK, or FAILED, go to status by that id. Then RUN is awaited there, with
 * the program's bytes and descriptors. */
_Noreturn void program_await(uint32_t id, const struct program *usual, int master, int status);

#endif
