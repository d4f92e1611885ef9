/* The plan and the program as bytes of a memfd, decoded. Pure: no system calls. */
#ifndef PODSH_PLAN_H
#define PODSH_PLAN_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

enum opcode {
	OP_ROOT = 1,
	OP_TMPFS,
	OP_DIR,
	OP_LINK,
	OP_FILE,
	OP_MOUNT,
	OP_PROC,
	OP_DEVPTS,
	OP_MASK,
	OP_HOSTNAME,
	OP_LOOPBACK,
	OP_SYSCTL,
	OP_SOCKET,
	OP_SCOPE,
	OP_INNER,
};

struct op {
	uint32_t code;
	const char *path;  /* absolute in the pod and canonical; a sysctl's or a host's name */
	const char *text;  /* a link's target, a sysctl's value */
	const void *data;  /* a file's content */
	uint32_t data_bytes;
	uint32_t mode;
	uint64_t size_bytes; /* of a tmpfs; the number of ptys of a devpts */
	uint64_t index;      /* of a mount's descriptor */
	uint64_t namespaces; /* CLONE_NEW*, <linux/sched.h> */
	bool no_exec, is_file, is_dir, optional, needed;
};

struct plan {
	struct cursor rest;
	uint32_t count, next;
	bool goes_on; /* after one that was prepared: the root is there already */
};
/* False: not a plan of this version. */
bool plan_open(struct plan *plan, const unsigned char *bytes, size_t length);
/* The next operation; false at the end (plan_whole) or if it is malformed. */
bool plan_next(struct plan *plan, struct op *op);
bool plan_whole(const struct plan *plan);

/* Whether a path is absolute, canonical, and not `/` itself. */
bool path_canonical(const char *path);

struct limit {
	uint64_t resource, soft, hard;
};

enum program_flags {
	HAS_STDIN = 1,
	HAS_STDOUT = 2,
	HAS_STDERR = 4,
	NULL_STDIN = 8, /* the pod's own /dev/null */
	NULL_STDOUT = 16,
	NULL_STDERR = 32,
	LISTEN = 64, /* the filter notifies: its listener goes to the monitor */
	NO_TERMINAL = 128, /* none that controls it */
	FRESH = 256,       /* not by the process that PARK has made */
};

struct program {
	uint64_t flags, rows, cols;
	const char *name;             /* argv[0], or "" for the file's */
	const char **argv, **env, **cwd; /* owned */
	bool cwd_must;
	uint32_t umask;
	uint64_t limit_count;
	struct limit *limits; /* owned */
	uint64_t keep_caps;
	bool no_new_privs;
	struct sock_filter *filter; /* owned */
	unsigned short filter_length; /* in instructions */
};
/* Strings point into bytes. False if malformed; program_free in either case. */
bool program_parse(struct program *program, const unsigned char *bytes, size_t length);
void program_free(struct program *program);

#endif
