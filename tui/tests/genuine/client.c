/*
 * A client of a genuine rump kernel: `client getpid|file|device|pipe COUNT PATH`. Boots the kernel, makes COUNT of one
 * thing, and prints how many nanoseconds the boot took.
 */
#include <sys/types.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>
#include <rump/rumpdefs.h>

enum { BLOCK = 4096, BLOCKS = 64 };

static long count;
static pid_t pid;
static int there[2], back[2];

static void
need(int right, const char *what)
{

	if (!right) {
		fprintf(stderr, "client: %s\n", what);
		exit(1);
	}
}

static int64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* Block n of what is at path begins with the byte n. */
static void
read_blocks(const char *path, enum rump_etfs_type type)
{
	unsigned char *block = aligned_alloc(BLOCK, BLOCK);
	int fd;

	need(rump_pub_etfs_register("/thing", path, type) == 0, "etfs");
	need((fd = rump_sys_open("/thing", RUMP_O_RDONLY)) != -1, "open");
	for (long i = 0; i < count; i++) {
		int number = i * 7 % BLOCKS;

		need(rump_sys_pread(fd, block, BLOCK, number * (off_t)BLOCK) == BLOCK, "pread");
		need(block[0] == number, "a block with other contents");
	}
	need(rump_sys_close(fd) == 0, "close");
	free(block);
}

static void *
answer(void *unused)
{
	char byte;

	need(rump_pub_lwproc_newlwp(pid) == 0, "newlwp");
	for (long i = 0; i < count; i++)
		need(rump_sys_read(there[0], &byte, 1) == 1 && rump_sys_write(back[1], &byte, 1) == 1, "answer");
	rump_pub_lwproc_releaselwp();
	return unused;
}

static void
ping_pong(void)
{
	pthread_t thread;
	char byte = 1;

	need(rump_sys_pipe(there) == 0 && rump_sys_pipe(back) == 0, "pipe");
	need(pthread_create(&thread, NULL, answer, NULL) == 0, "thread");
	for (long i = 0; i < count; i++)
		need(rump_sys_write(there[1], &byte, 1) == 1 && rump_sys_read(back[0], &byte, 1) == 1, "call");
	pthread_join(thread, NULL);
}

int
main(int argc, char **argv)
{
	int64_t start = now();

	need(argc == 4, "usage: client getpid|file|device|pipe COUNT PATH");
	need(rump_init() == 0, "rump_init");
	printf("booted %jd\n", (intmax_t)(now() - start));
	count = atol(argv[2]);
	need(rump_pub_lwproc_rfork(RUMP_RFCFDG) == 0, "rfork");
	pid = rump_sys_getpid();
	if (strcmp(argv[1], "getpid") == 0)
		for (long i = 0; i < count; i++)
			need(rump_sys_getpid() == pid, "getpid");
	else if (strcmp(argv[1], "file") == 0)
		read_blocks(argv[3], RUMP_ETFS_REG);
	else if (strcmp(argv[1], "device") == 0)
		read_blocks(argv[3], RUMP_ETFS_CHR);
	else
		ping_pong();
	return 7;
}
