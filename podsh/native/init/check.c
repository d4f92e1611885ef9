/* `podsh-init-asan check FILE`: the parsers alone, over many inputs, for the fuzzer in
 * tests/kernel/test_init_fuzz.py. FILE: u8 kind ('p' plan, 'r' program), u32 length, bytes, … */
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"
#include "util.h"

#ifdef PODSH_CHECKS
static bool try_plan(const unsigned char *bytes, size_t length)
{
	struct plan plan;
	struct op op;
	size_t seen = 0;
	if (!plan_open(&plan, bytes, length))
		return false;
	while (plan_next(&plan, &op)) {
		/* touch what would be used */
		seen += op.path ? strlen(op.path) : 0;
		seen += op.text ? strlen(op.text) : 0;
		for (uint32_t i = 0; i < op.data_bytes; i++)
			seen += ((const unsigned char *)op.data)[i];
	}
	return plan_whole(&plan) && seen != SIZE_MAX;
}

static size_t measure(const char **items)
{
	size_t length = 0;
	for (; items && *items; items++)
		length += strlen(*items);
	return length;
}

static bool try_program(const unsigned char *bytes, size_t length)
{
	__attribute__((cleanup(program_free))) struct program program;
	if (!program_parse(&program, bytes, length))
		return false;
	size_t seen = measure(program.argv) + measure(program.env) + measure(program.cwd);
	for (unsigned i = 0; i < program.filter_length; i++)
		seen += program.filter[i].k;
	return seen != SIZE_MAX;
}

int check(const char *path)
{
	OWNED_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		perror(path);
		return 2;
	}
	size_t length;
	OWNED unsigned char *bytes = read_file(fd, &length);
	if (!bytes)
		return 2;
	struct cursor from = {bytes, bytes + length, false};
	while (from.at != from.end) {
		const unsigned char *kind = take_bytes(&from, 1);
		size_t size = take_u32(&from);
		const unsigned char *part = take_bytes(&from, size);
		if (!kind || !part)
			return 2;
		/* a copy of its exact size, so that a read beyond it is seen */
		OWNED unsigned char *input = malloc(size);
		if (!input)
			return 2;
		memcpy(input, part, size);
		bool good = *kind == 'p' ? try_plan(input, size) : try_program(input, size);
		putchar(good ? '1' : '0');
	}
	putchar('\n');
	return 0;
}
#endif
