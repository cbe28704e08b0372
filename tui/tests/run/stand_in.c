/*
 * A program that was linked with some librumpuser.so.0 and holds no rump kernel: it makes the first hypercall, or does
 * not, and ends in the way that its argument says.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int rumpuser_init(int version, const void *upcalls);

static void nothing(void) {}

int
main(int argc, char **argv)
{
	/* 13 functions and 8 spare slots. */
	void (*upcalls[21])(void) = { nothing, nothing, nothing, nothing, nothing, nothing, nothing,
	    nothing, nothing, nothing, nothing, nothing, nothing };
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "early") == 0)
		return 0;
	if (strcmp(what, "daemon") == 0) {
		int ready[2];
		char byte;

		/* The child goes on until its standard input ends; the parent ends when the child is measured. */
		if (pipe(ready) != 0)
			return 98;
		if (fork() != 0)
			return read(ready[0], &byte, 1) == 1 ? 0 : 97;
		if (rumpuser_init(17, upcalls) != 0 || write(ready[1], "", 1) != 1)
			return 99;
		fclose(stdout);
		fclose(stderr);
		while (read(0, &byte, 1) > 0)
			continue;
		return 0;
	}
	if (rumpuser_init(17, upcalls) != 0)
		return 99;
	if (strcmp(what, "crash") == 0)
		raise(SIGSEGV);
	if (strcmp(what, "wait") == 0) {
		puts("ready");
		fflush(stdout);
		for (;;)
			pause();
	}
	return atoi(what);
}
