#include "plan.h"

#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define VERSION 1
#define NAME_BYTES 64 /* HOST_NAME_MAX */
#define LIMITS 64     /* far above RLIM_NLIMITS */
#define INNER_MAY_OWN ((uint64_t)(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS))

/* Components without "", "." and ".."; the whole may not be empty. */
static bool components_plain(const char *path)
{
	for (;;) {
		size_t length = strcspn(path, "/");
		if (length == 0 || (length == 1 && path[0] == '.') ||
		    (length == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[length])
			return true;
		path += length + 1;
	}
}

bool path_canonical(const char *path)
{
	return path[0] == '/' && components_plain(path + 1);
}

static const char *take_path(struct cursor *from)
{
	const char *path = take_str(from, PATH_LIMIT - 1);
	if (!path_canonical(path))
		from->bad = true;
	return path;
}

static uint32_t take_mode(struct cursor *from)
{
	uint64_t mode = take_u64(from);
	if (mode > 07777)
		from->bad = true;
	return (uint32_t)mode;
}

/* Of a tmpfs, where 0 would be no bound at all. */
static uint64_t take_size(struct cursor *from)
{
	uint64_t size = take_u64(from);
	if (size == 0)
		from->bad = true;
	return size;
}

static bool take_bool(struct cursor *from)
{
	uint64_t value = take_u64(from);
	if (value > 1)
		from->bad = true;
	return value == 1;
}

static void take_file(struct cursor *from, struct op *op)
{
	op->path = take_path(from);
	op->mode = take_mode(from);
	op->data_bytes = take_u32(from);
	op->data = take_bytes(from, op->data_bytes);
	take_bytes(from, 1);
}

static void take_op(struct cursor *from, struct op *op)
{
	switch (op->code) {
	case OP_ROOT:
		op->mode = take_mode(from);
		op->size_bytes = take_size(from);
		break;
	case OP_TMPFS:
		op->path = take_path(from);
		op->mode = take_mode(from);
		op->size_bytes = take_size(from);
		op->no_exec = take_bool(from);
		break;
	case OP_DIR:
		op->path = take_path(from);
		op->mode = take_mode(from);
		break;
	case OP_LINK:
		op->text = take_str(from, PATH_LIMIT - 1);
		op->path = take_path(from);
		break;
	case OP_FILE:
		take_file(from, op);
		break;
	case OP_MOUNT:
		op->index = take_u64(from);
		op->path = take_path(from);
		op->is_file = take_bool(from);
		op->optional = take_bool(from);
		break;
	case OP_PROC:
	case OP_SOCKET:
		op->path = take_path(from);
		break;
	case OP_DEVPTS:
		op->path = take_path(from);
		op->size_bytes = take_u64(from);
		break;
	case OP_MASK:
		op->path = take_path(from);
		op->is_dir = take_bool(from);
		break;
	case OP_HOSTNAME:
		op->path = take_str(from, NAME_BYTES);
		break;
	case OP_LOOPBACK:
	case OP_SCOPE:
		break;
	case OP_INNER:
		op->namespaces = take_u64(from);
		if (op->namespaces & ~INNER_MAY_OWN)
			from->bad = true;
		break;
	case OP_SYSCTL:
		op->path = take_str(from, PATH_LIMIT / 2);
		if (!components_plain(op->path))
			from->bad = true;
		op->text = take_str(from, PATH_LIMIT - 1);
		op->needed = take_bool(from);
		break;
	default:
		from->bad = true;
	}
}

bool plan_open(struct plan *plan, const unsigned char *bytes, size_t length)
{
	*plan = (struct plan){.rest = {bytes, bytes + length, false}};
	const unsigned char *magic = take_bytes(&plan->rest, 4);
	if (!magic || memcmp(magic, "PODP", 4) != 0 || take_u32(&plan->rest) != VERSION)
		return false;
	plan->count = take_u32(&plan->rest);
	return !plan->rest.bad;
}

bool plan_next(struct plan *plan, struct op *op)
{
	if (plan->next == plan->count || plan->rest.bad)
		return false;
	*op = (struct op){.code = take_u32(&plan->rest)};
	size_t length = take_u32(&plan->rest);
	const unsigned char *payload = take_bytes(&plan->rest, length);
	if (!payload)
		return false;
	struct cursor fields = {payload, payload + length, false};
	take_op(&fields, op);
	/* ROOT first, and only there */
	bool root = plan->next == 0 && !plan->goes_on;
	if (!taken_whole(&fields) || (op->code == OP_ROOT) != root) {
		plan->rest.bad = true;
		return false;
	}
	plan->next++;
	return true;
}

bool plan_whole(const struct plan *plan)
{
	return (plan->count > 0 || plan->goes_on) && plan->next == plan->count && taken_whole(&plan->rest);
}

static void take_limits(struct cursor *from, struct program *program)
{
	program->limit_count = take_u64(from);
	if (program->limit_count > LIMITS) {
		program->limit_count = 0;
		from->bad = true;
	}
	program->limits = allocate(program->limit_count, sizeof *program->limits);
	for (uint64_t i = 0; i < program->limit_count; i++) {
		program->limits[i].resource = take_u64(from);
		program->limits[i].soft = take_u64(from);
		program->limits[i].hard = take_u64(from);
	}
}

static void take_filter(struct cursor *from, struct program *program)
{
	uint32_t bytes = take_u32(from);
	const unsigned char *raw = take_bytes(from, bytes);
	size_t length = bytes / sizeof(struct sock_filter);
	if (!raw || bytes % sizeof(struct sock_filter) || length > BPF_MAXINSNS) {
		from->bad = true;
		return;
	}
	/* copied, since it may lie unaligned */
	program->filter = allocate(bytes, 1);
	memcpy(program->filter, raw, bytes);
	program->filter_length = (unsigned short)length;
}

bool program_parse(struct program *program, const unsigned char *bytes, size_t length)
{
	struct cursor from = {bytes, bytes + length, false};
	*program = (struct program){.flags = take_u64(&from)};
	program->rows = take_u64(&from);
	program->cols = take_u64(&from);
	program->name = take_str(&from, PATH_LIMIT - 1);
	program->argv = take_strv(&from);
	program->env = take_strv(&from);
	program->cwd = take_strv(&from);
	program->cwd_must = take_bool(&from);
	uint64_t mask = take_u64(&from);
	program->umask = (uint32_t)mask;
	take_limits(&from, program);
	program->keep_caps = take_u64(&from);
	program->no_new_privs = take_bool(&from);
	take_filter(&from, program);
	return taken_whole(&from) && program->flags < FRESH * 2 &&
	       (program->filter_length || !(program->flags & LISTEN)) &&
	       program->rows <= UINT16_MAX && program->cols <= UINT16_MAX && mask <= 0777 &&
	       program->argv && program->argv[0];
}

void program_free(struct program *program)
{
	free(program->argv);
	free(program->env);
	free(program->cwd);
	free(program->limits);
	free(program->filter);
}
