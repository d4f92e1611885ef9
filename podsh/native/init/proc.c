/* The pod's /proc: fresh, with the parts that belong to the machine read-only or masked, as OCI
 * runtimes have them (opencontainers/runtime-spec config.md, moby oci/defaults.go). For an
 * ordinary user the kernel's own checks do most of it; uid 0 without capabilities still owns the
 * files. */
#include <errno.h>
#include <sys/stat.h>

#include "jail.h"
#include "kernel.h"
#include "mounts.h"
#include "util.h"

static const char *const read_only[] = {
	"sys", "sysrq-trigger", "irq", "bus", "fs", "driver", "dynamic_debug", "mtrr",
};

static const char *const masked[] = {
	"kcore",       "keys",       "timer_list", "timer_stats", "sched_debug", "latency_stats",
	"acpi",        "scsi",       "asound",     "interrupts",  "kmsg",        "kpagecount",
	"kpageflags",  "kpagecgroup", "slabinfo",  "vmallocinfo", "pagetypeinfo", "vmcore",
};

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

static int hide(int proc, const char *name, bool is_dir)
{
	OWNED_FD mask = sys_open_tree(AT_FDCWD, is_dir ? MASK_DIR : MASK_FILE,
	                              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mask < 0)
		return fail("open_tree", is_dir ? MASK_DIR : MASK_FILE);
	if (sys_move_mount(mask, "", proc, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", name);
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
	for (unsigned i = 0; i < COUNT(masked); i++) {
		struct stat found;
		if (fstatat(proc, masked[i], &found, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (hide(proc, masked[i], S_ISDIR(found.st_mode)) < 0)
			return -1;
	}
	if (tree->proc < 0)
		tree->proc = take_fd(&proc);
	return 0;
}
