/* The pod's /proc: fresh, with the parts that belong to the machine read-only or masked, as OCI
 * runtimes have them (opencontainers/runtime-spec config.md, moby oci/defaults.go). For an
 * ordinary user the kernel's own checks do most of it; uid 0 without capabilities still owns the
 * files. */
#include <errno.h>

#include "jail.h"
#include "kernel.h"
#include "mounts.h"
#include "util.h"

static const char *const read_only[] = {
	"sys", "sysrq-trigger", "irq", "bus", "fs", "driver", "dynamic_debug", "mtrr",
};

static const char *const masked_files[] = {
	"kcore", "keys", "timer_stats", "sched_debug", "latency_stats", "interrupts",
};

/* Of mode 0400: nothing to be masked from an ordinary user. */
static const char *const roots_files[] = {
	"timer_list",  "kmsg",     "kpagecount",  "kpageflags",
	"kpagecgroup", "slabinfo", "vmallocinfo", "pagetypeinfo", "vmcore",
};

static const char *const masked_dirs[] = {"acpi", "scsi", "asound"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

int new_proc(void)
{
	OWNED_FD fs = sys_fsopen("proc");
	if (fs < 0)
		return fail("fsopen", "proc");
	if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return fail("fsconfig", "proc");
	int mount = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return mount < 0 ? fail("fsmount", "proc") : mount;
}

/* Mounts source over each that is there. Asked first: a clone that is not attached in the end
 * costs a grace period of RCU to be rid of, which is more than all the rest. */
static int hide(int proc, const char *source, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (faccessat(proc, names[i], F_OK, 0) < 0)
			continue;
		OWNED_FD mask = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (mask < 0)
			return fail("open_tree", source);
		if (sys_move_mount(mask, "", proc, names[i], MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return fail("move_mount", names[i]);
	}
	return 0;
}

static int make_read_only(int proc, const char *name)
{
	static const struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY};
	OWNED_FD part = sys_open_tree(proc, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (part < 0)
		return errno == ENOENT ? 0 : fail("open_tree", name);
	if (sys_mount_setattr(part, "", AT_EMPTY_PATH, &sealed) < 0)
		return fail("mount_setattr", name);
	if (sys_move_mount(part, "", proc, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", name);
	return 0;
}

int mount_proc(struct tree *tree, const char *path)
{
	OWNED_FD proc = new_proc();
	if (proc < 0)
		return -1;
	if (attach(tree, proc, path, false) < 0)
		return -1;
	for (unsigned i = 0; i < COUNT(read_only); i++) {
		if (make_read_only(proc, read_only[i]) < 0)
			return -1;
	}
	if (hide(proc, MASK_FILE, masked_files, COUNT(masked_files)) < 0 ||
	    hide(proc, MASK_DIR, masked_dirs, COUNT(masked_dirs)) < 0)
		return -1;
	if (geteuid() == 0 && hide(proc, MASK_FILE, roots_files, COUNT(roots_files)) < 0)
		return -1;
	if (tree->proc < 0)
		tree->proc = take_fd(&proc);
	return 0;
}
