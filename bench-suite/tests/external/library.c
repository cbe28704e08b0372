/*
 * The smallest library that another one can stand in front of: it does next to nothing, and what it does can be told from
 * what any other does. With -DREFUSES it is one of another version, with -DLACKS it has a hypercall less.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

struct hyperup {
	void (*schedule)(void);
	void (*unschedule)(void);
	void (*backend_unschedule)(int, int *, void *);
	void (*backend_schedule)(int, void *);
	void (*others[9])(void);
	void *extra[8];
};

static struct hyperup up;
static void *lwp;

int
rumpuser_init(int version, const struct hyperup *table)
{
#ifdef REFUSES
	return 45;
#endif
	up = *table;
	return version == 17 ? 0 : 45;
}

void
rumpuser_curlwpop(int op, void *which)
{
	if (op == 2)
		lwp = which;
}

/* Not the truth, but an answer that no other library gives. */
void *
rumpuser_curlwp(void)
{
	return (char *)lwp + 1;
}

/* Of its own hypercalls; that must not come to the library in front, which has one of this name, too. */
void
rumpuser_mutex_init(void **mutex, int flags)
{
	*mutex = rumpuser_curlwp();
}

void
rumpuser_mutex_enter(void *mutex)
{
	int nlocks;

	up.backend_unschedule(0, &nlocks, mutex);
	up.backend_schedule(nlocks, mutex);
}

struct transfer {
	void (*done)(void *, size_t, int);
	void *argument;
	size_t size;
};

static void *
complete(void *argument)
{
	struct transfer *transfer = argument;

	up.schedule();
	transfer->done(transfer->argument, transfer->size, 0);
	up.unschedule();
	free(transfer);
	return NULL;
}

/* Done by a thread of the library's own, before this returns. */
void
rumpuser_bio(int fd, int op, void *data, size_t size, int64_t offset, void (*done)(void *, size_t, int), void *argument)
{
	struct transfer *transfer = malloc(sizeof(*transfer));
	pthread_t thread;

	transfer->done = done;
	transfer->argument = argument;
	transfer->size = size;
	pthread_create(&thread, NULL, complete, transfer);
	pthread_join(thread, NULL);
}

/* The rest is there, and never called. */
#define THERE(name) void rumpuser_##name(void) { abort(); }
THERE(malloc) THERE(free) THERE(anonmmap) THERE(unmap)
THERE(open) THERE(close) THERE(getfileinfo) THERE(iovread) THERE(iovwrite) THERE(syncfd)
THERE(clock_gettime) THERE(clock_sleep)
THERE(getparam) THERE(seterrno) THERE(kill) THERE(exit) THERE(putchar) THERE(dprintf) THERE(getrandom)
THERE(thread_create) THERE(thread_exit) THERE(thread_join)
THERE(mutex_enter_nowrap) THERE(mutex_tryenter) THERE(mutex_exit) THERE(mutex_destroy) THERE(mutex_owner)
THERE(rw_init) THERE(rw_enter) THERE(rw_tryenter) THERE(rw_tryupgrade) THERE(rw_downgrade) THERE(rw_exit) THERE(rw_destroy)
THERE(cv_init) THERE(cv_destroy) THERE(cv_wait) THERE(cv_wait_nowrap) THERE(cv_timedwait) THERE(cv_signal) THERE(cv_broadcast)
THERE(cv_has_waiters)
THERE(dl_bootstrap) THERE(daemonize_begin) THERE(daemonize_done)
THERE(sp_init) THERE(sp_copyin) THERE(sp_copyinstr) THERE(sp_copyout) THERE(sp_copyoutstr) THERE(sp_anonmmap) THERE(sp_raise)
THERE(sp_fini)
THERE(component_unschedule) THERE(component_schedule) THERE(component_kthread) THERE(component_kthread_release)
THERE(component_curlwp) THERE(component_switchlwp) THERE(component_errtrans)
#ifndef LACKS
THERE(rw_held)
#endif
