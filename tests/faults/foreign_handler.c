/* A library that has chosen what SIGUSR1 does before Python starts, as profilers and
   MPI do. Python then knows that there is a handler, and cannot put it back. */
#include <signal.h>

static void ignore_it(int number) { (void)number; }

__attribute__((constructor)) static void choose(void) { signal(SIGUSR1, ignore_it); }
