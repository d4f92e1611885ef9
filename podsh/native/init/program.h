/* Programs of the pod: started on order, watched until they are gone. */
#ifndef PODSH_PROGRAM_H
#define PODSH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "plan.h"
#include "tree.h"
#include "wire.h"

struct running {
	uint32_t id;
	pid_t pid;
	int status; /* our end of the socket that closes at exec, or -1: started */
	int master; /* the terminal's, until it is sent */
	bool failed; /* it never became the program, and FAILED was sent */
	bool gone;
	int exit_status;
};

/* A process that waits for the program that it is to be: on a terminal, under the filter. */
struct parked {
	pid_t pid; /* 0: none */
	int status, master;
	struct program usual; /* what it can be: the credentials and the filter are these */
	unsigned char *bytes; /* of usual */
};

struct programs {
	struct parked parked;
	struct rlimit files; /* their RLIMIT_NOFILE, unless the monitor names one */
	unsigned count, room;
	struct running *list;
};

/* The order PARK, before any RUN: its listener goes to the monitor. -1 after fail(). */
int program_park(struct programs *programs, const struct tree *tree, struct message *order,
                 int control);
/* Ends the process that waits, if there is one: what the pod gets now, it has not got. */
void program_unpark(struct programs *programs);
/* The order RUN: by the process that waits if that can be it, else forks. -1 after fail(). */
int program_start(struct programs *programs, const struct tree *tree, struct message *order);
/* A program's status socket is readable: LISTENER, STARTED or FAILED goes to the monitor; but for
 * the first it has started or failed, and status is -1. */
void program_settle(struct running *program, int control);
/* A child was reaped. */
void program_gone(struct programs *programs, pid_t pid, int wait_status);
/* Sends EXITED for those that are gone and forgets them. */
void programs_report(struct programs *programs, int control, bool others);
/* The order SIGNAL. -1 after fail(). */
int program_signal(const struct programs *programs, const struct tree *tree, uint32_t id,
                   int signal_number, uint64_t group);

#endif
