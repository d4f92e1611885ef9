#include "wire.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util.h"

#define REPLY_FDS 4 /* a program's bytes, its descriptors 0-2 */
#define SEND_TRIES 5000 /* a millisecond each */
#define STRV_ITEM (128u << 10) /* MAX_ARG_STRLEN, execve(2) */

const unsigned char *take_bytes(struct cursor *from, size_t length)
{
	if (from->bad || (size_t)(from->end - from->at) < length) {
		from->bad = true;
		return NULL;
	}
	const unsigned char *taken = from->at;
	from->at += length;
	return taken;
}

uint32_t take_u32(struct cursor *from)
{
	uint32_t value = 0;
	const unsigned char *bytes = take_bytes(from, sizeof value);
	if (bytes)
		memcpy(&value, bytes, sizeof value);
	return le32toh(value);
}

uint64_t take_u64(struct cursor *from)
{
	uint64_t value = 0;
	const unsigned char *bytes = take_bytes(from, sizeof value);
	if (bytes)
		memcpy(&value, bytes, sizeof value);
	return le64toh(value);
}

const char *take_str(struct cursor *from, size_t limit)
{
	size_t length = take_u32(from);
	const unsigned char *bytes = length <= limit ? take_bytes(from, length + 1) : NULL;
	if (!bytes || memchr(bytes, 0, length + 1) != bytes + length) {
		from->bad = true;
		return "";
	}
	return (const char *)bytes;
}

const char **take_strv(struct cursor *from)
{
	size_t count = take_u32(from);
	/* each takes five bytes at least: no huge allocation for a lie */
	if (from->bad || count > (size_t)(from->end - from->at) / 5) {
		from->bad = true;
		return NULL;
	}
	const char **items = allocate(count + 1, sizeof *items);
	for (size_t i = 0; i < count; i++)
		items[i] = take_str(from, STRV_ITEM);
	return items;
}

bool taken_whole(const struct cursor *from)
{
	return !from->bad && from->at == from->end;
}

static void own_fds(struct message *message, struct msghdr *header)
{
	message->fd_count = 0;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		size_t bytes = part->cmsg_len - CMSG_LEN(0);
		memcpy(message->fds, CMSG_DATA(part), bytes);
		message->fd_count = (unsigned)(bytes / sizeof(int));
	}
}

int receive(int control, struct message *message)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS)];
		struct cmsghdr align;
	} ancillary;
	struct iovec part = {.iov_base = message->bytes, .iov_len = sizeof message->bytes};
	struct msghdr header = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = ancillary.bytes,
		.msg_controllen = sizeof ancillary.bytes,
	};
	ssize_t got;
	do
		got = recvmsg(control, &header, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	message->fd_count = 0;
	if (got < 0 && errno != ECONNRESET)
		die_of("recvmsg");
	if (got <= 0)
		return 0;
	own_fds(message, &header);
	message->payload = (struct cursor){message->bytes, message->bytes + got, false};
	message->kind = take_u32(&message->payload);
	message->id = take_u32(&message->payload);
	message->fds_lost = header.msg_flags & MSG_CTRUNC;
	if (message->payload.bad || header.msg_flags & MSG_TRUNC)
		die_malformed("too short or too long");
	return 1;
}

int message_fd(struct message *message, unsigned index)
{
	if (index >= message->fd_count || message->fds[index] < 0)
		die_malformed("a descriptor is missing");
	return take_fd(&message->fds[index]);
}

void message_close(struct message *message)
{
	for (unsigned i = 0; i < message->fd_count; i++) {
		if (message->fds[i] >= 0)
			close(message->fds[i]);
	}
	message->fd_count = 0;
}

unsigned char *read_file(int fd, size_t *length)
{
	struct stat found;
	if (fstat(fd, &found) < 0) {
		fail("fstat", "memfd");
		return NULL;
	}
	if (found.st_size < 0 || found.st_size > (off_t)FILE_BYTES) {
		fail_with(EFBIG, "read", "memfd");
		return NULL;
	}
	*length = (size_t)found.st_size;
	unsigned char *bytes = allocate(*length, 1);
	for (size_t have = 0; have < *length;) {
		ssize_t got = pread(fd, bytes + have, *length - have, (off_t)have);
		if (got <= 0) {
			fail_with(got < 0 ? errno : EIO, "pread", "memfd");
			free(bytes);
			return NULL;
		}
		have += (size_t)got;
	}
	return bytes;
}

static void put(struct reply_buffer *to, const void *bytes, size_t length)
{
	/* replies hold one path at most: far below the buffer */
	if (length > sizeof to->bytes - to->used)
		die_malformed("reply too long");
	memcpy(to->bytes + to->used, bytes, length);
	to->used += length;
}

static void put_u32(struct reply_buffer *to, uint32_t value)
{
	value = htole32(value);
	put(to, &value, sizeof value);
}

void put_u64(struct reply_buffer *to, uint64_t value)
{
	value = htole64(value);
	put(to, &value, sizeof value);
}

void put_str(struct reply_buffer *to, const char *text)
{
	size_t length = strlen(text);
	put_u32(to, (uint32_t)length);
	put(to, text, length + 1);
}

void put_header(struct reply_buffer *to, uint32_t kind, uint32_t id)
{
	to->used = 0;
	put_u32(to, kind);
	put_u32(to, id);
}

void put_failure(struct reply_buffer *to, uint32_t id)
{
	put_header(to, FAILED, id);
	put_u64(to, (uint64_t)failure.error);
	put_str(to, failure.step);
	put_str(to, failure.path);
	put_u64(to, failure.op);
}

static int transmit(int control, const struct reply_buffer *reply, const int *fds, unsigned count,
                    pid_t pid)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * REPLY_FDS) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} ancillary;
	memset(&ancillary, 0, sizeof ancillary);
	struct iovec part = {.iov_base = (void *)reply->bytes, .iov_len = reply->used};
	struct msghdr header = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = ancillary.bytes,
		.msg_controllen = sizeof ancillary.bytes,
	};
	size_t used = 0;
	struct cmsghdr *item = CMSG_FIRSTHDR(&header);
	if (count) {
		item->cmsg_level = SOL_SOCKET;
		item->cmsg_type = SCM_RIGHTS;
		item->cmsg_len = CMSG_LEN(sizeof *fds * count);
		memcpy(CMSG_DATA(item), fds, sizeof *fds * count);
		used += CMSG_SPACE(sizeof *fds * count);
		item = CMSG_NXTHDR(&header, item);
	}
	if (pid) {
		const struct ucred sender = {.pid = pid, .uid = getuid(), .gid = getgid()};
		item->cmsg_level = SOL_SOCKET;
		item->cmsg_type = SCM_CREDENTIALS;
		item->cmsg_len = CMSG_LEN(sizeof sender);
		memcpy(CMSG_DATA(item), &sender, sizeof sender);
		used += CMSG_SPACE(sizeof sender);
	}
	header.msg_controllen = used;
	for (int tries = 0; sendmsg(control, &header, MSG_NOSIGNAL) < 0; tries++) {
		/* too many descriptors of this user's are in flight just now */
		if (errno != EINTR && (errno != ETOOMANYREFS || tries == SEND_TRIES))
			return -1;
		usleep(1000);
	}
	return 0;
}

int try_reply(int control, const struct reply_buffer *reply, int fd, pid_t pid)
{
	return transmit(control, reply, &fd, fd >= 0, pid);
}

int try_reply_fds(int control, const struct reply_buffer *reply, const int *fds, unsigned count)
{
	if (count <= REPLY_FDS)
		return transmit(control, reply, fds, count, 0);
	errno = E2BIG;
	return -1;
}

void send_reply(int control, const struct reply_buffer *reply, int fd, pid_t pid)
{
	if (try_reply(control, reply, fd, pid) == 0)
		return;
	if (errno == EPIPE || errno == ECONNRESET)
		_exit(0); /* nobody is there: the pod ends with its monitor */
	die_of("sendmsg");
}

void send_ack(int control, uint32_t id)
{
	struct reply_buffer reply;
	put_header(&reply, ACK, id);
	send_reply(control, &reply, -1, 0);
}

void send_failure(int control, uint32_t id)
{
	struct reply_buffer reply;
	put_failure(&reply, id);
	send_reply(control, &reply, -1, 0);
}
