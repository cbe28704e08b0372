/*
 * An object as the loader of a guest meets it: link sets of modules and components, symbols of the guest and others.
 * Built several times with other values of the macros.
 */

#ifndef MODULES
/* An object without a single symbol of its own that others can see. */
static int nothing __attribute__((used));
#else

#define NAME2(prefix, suffix) prefix##suffix
#define NAME1(prefix, suffix) NAME2(prefix, suffix)
#define NAME(prefix) NAME1(prefix, SUFFIX)

/* Symbols that a guest's loader takes, and others that it leaves. */
int NAME(rumpns_variable_)= 1;
int NAME(RUMP_variable_) = 2;
int NAME(__variable_) = 3;
int NAME(other_variable_) = 4;
int NAME(rumpns_function_)(void) { return 5; }

/* The things that link sets point to; only their addresses matter. */
static int things[4];

/*
 * The bounds of a link set are the linker's own; defined by hand here, because they have to be visible to dlsym.
 * Each set is an array that ends where the next symbol begins.
 */
#define SET(name, first, second)                                             \
	__asm__(".pushsection .data.rel.sets, \"aw\"\n"                         \
	        ".balign 8\n"                                                 \
	        ".globl __start_link_set_" name "\n"                          \
	        "__start_link_set_" name ":\n"                                \
	        ".quad " first ", " second "\n"                               \
	        ".globl __stop_link_set_" name "\n"                           \
	        "__stop_link_set_" name ":\n"                                 \
	        ".popsection\n")

SET("modules", "things", "things+4");
SET("rump_components", "things+8", "things+12");
SET("evcnts", "things", "things+4");

/* For the case to compare. */
void *NAME(things_)(void) { return things; }

#endif
