/* Compiled without frame pointers: callers for the tests. */
#include <alloca.h>
#include <string.h>

typedef void callback(void *);

/* Nothing may be left out after a call, or be done in its caller. */
#define FUNCTION __attribute__((noinline, noclone))
static volatile long sink;

FUNCTION void innermost(callback *call, void *argument) {
    call(argument);
    sink++;
}

/* Keeps every register that a callee must save, the frame pointer's among them, busy over the call. */
FUNCTION long registers(callback *call, void *argument, long seed) {
    long a = sink ^ seed, b = a * 3, c = b ^ 5, d = c * 7, e = d ^ 9, f = e * 11;
    innermost(call, argument);
    return a + b * (c ^ d) + e * f + sink;
}

/* A frame of 100 KiB. */
FUNCTION long large(callback *call, void *argument) {
    volatile char much[100 << 10];
    much[sink & 1023] = 1;
    registers(call, argument, much[sink & 511]);
    return much[sink & 255];
}

/* A frame of 300 KiB. */
FUNCTION long larger(callback *call, void *argument) {
    volatile char much[300 << 10];
    much[sink & 1023] = 1;
    large(call, argument);
    return much[sink & 255];
}

/* Aligns its stack and moves it by what is not known when it is compiled. */
FUNCTION long aligned(callback *call, void *argument, long size, long on_stack, long a, long b, long c, long d) {
    volatile char line[64] __attribute__((aligned(64)));
    char *room = alloca(size);
    memset(room, (int)on_stack, size);
    line[sink & 63] = room[size - 1];
    larger(call, argument);
    return line[0] + a + b + c + d + room[0];
}

FUNCTION long outermost(callback *call, void *argument) {
    return aligned(call, argument, 100 + (sink & 7), 1, 2, 3, 4, 5) + sink;
}

FUNCTION long recurse(long depth, callback *call, void *argument) {
    if (depth == 0)
        innermost(call, argument);
    else
        sink += recurse(depth - 1, call, argument);
    return sink;
}

/* Calls with its own return address overwritten. */
FUNCTION long overwritten(callback *call, void *argument, void *garbage) {
    void *volatile *place = (void **)__builtin_frame_address(0) + 1;
    void *saved = *place;
    *place = garbage;
    call(argument);
    *place = saved;
    return sink;
}
