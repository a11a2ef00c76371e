# The threads of a team: whether the system lets them be started, and the floating-point mode in which they work.
#
# Owns the two things that OpenMP leaves to chance, as C text, since each is a system call or a register; never decides
# how many threads a walk takes (team.pxd).
#
# Design:
#   a) OpenMP ends the process where it cannot start a thread. So before a region that needs more threads than this
#      thread's last one, as many are started here, all alive at once, and joined. OpenMP keeps a team for each thread
#      that asks, and lets go of the surplus when a smaller one is asked for; the count kept here does the same.
#      Another part of the process can still use up what was free in between: that window is some microseconds.
#   b) A thread that OpenMP has started keeps the floating-point mode of the moment it was made. A walk's bits must not
#      depend on who does which part, so each takes its caller's mode for the walk: flush-to-zero, denormals-are-zero,
#      rounding. Which exceptions trap is left as it is: a trap in a worker would end the process.

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #if defined(_OPENMP) && (defined(__unix__) || defined(__APPLE__))
      #include <pthread.h>
      #include <stdlib.h>

      /* Bytes. The deepest walk takes 36 KiB of stack (gcc -fstack-usage: engine.converted, then loops.blocks); OpenMP,
         the C library's thread-local storage and a signal's frame with its wide registers come on top. */
      #define OPTCORE_STACK (128 * 1024)

      static __thread int optcore_started = 1;  /* threads that a region of this thread may have without a new trial */
      static int optcore_refused = 0;           /* a team of so many could not be started in this process; 0: none yet */
      static size_t optcore_stack = 0;          /* bytes of stack OpenMP was told to give a thread; 0: the system's */

      static int optcore_refuses(int threads) {
          int refused = __atomic_load_n(&optcore_refused, __ATOMIC_RELAXED);
          return refused && threads >= refused;
      }

      static void* optcore_wait(void* gate) {
          pthread_mutex_lock((pthread_mutex_t*)gate);
          pthread_mutex_unlock((pthread_mutex_t*)gate);
          return NULL;
      }

      /* Whether a team of so many threads, this one among them, can be had. Not tried again after a failure. */
      static int optcore_can_start(int threads) {
          pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
          pthread_attr_t attributes;
          pthread_t* made;
          size_t stack = 0;
          int more = threads - optcore_started, n = 0;
          if (more <= 0) return 1;
          if (optcore_refuses(threads)) return 0;
          made = (pthread_t*)malloc((size_t)more * sizeof(pthread_t));
          if (made && pthread_attr_init(&attributes) == 0) {
              if (optcore_stack) pthread_attr_setstacksize(&attributes, optcore_stack);
              pthread_attr_getstacksize(&attributes, &stack);
              if (stack >= OPTCORE_STACK) {
                  pthread_mutex_lock(&gate);
                  while (n < more && pthread_create(&made[n], &attributes, optcore_wait, &gate) == 0) n++;
                  pthread_mutex_unlock(&gate);
              }
              pthread_attr_destroy(&attributes);
          }
          for (int k = 0; k < n; k++) pthread_join(made[k], NULL);
          free(made);
          if (n == more) optcore_started = threads;
          else __atomic_store_n(&optcore_refused, threads, __ATOMIC_RELAXED);
          return n == more;
      }
      static void optcore_try_again(void) { __atomic_store_n(&optcore_refused, 0, __ATOMIC_RELAXED); }
      static void optcore_set_stack(size_t bytes) { optcore_stack = bytes; }
      static void optcore_team_was(int threads) { optcore_started = threads; }
    #else
      static int optcore_can_start(int threads) { return 1; }
      static int optcore_refuses(int threads) { return 0; }
      static void optcore_try_again(void) { }
      static void optcore_set_stack(size_t bytes) { }
      static void optcore_team_was(int threads) { }
    #endif

    /* Take this floating-point mode, or none (-1); the mode until now. "memory": no load or store may cross the change. */
    static inline uint64_t optcore_take_mode(uint64_t mode) {
    #if defined(__x86_64__)
        const unsigned bits = 0xe040;           /* of MXCSR: flush-to-zero, rounding (2), denormals-are-zero */
        unsigned was, now;
        __asm__ volatile("stmxcsr %0" : "=m"(was));
        now = (was & ~bits) | ((unsigned)mode & bits);
        if (mode != (uint64_t)-1 && now != was) __asm__ volatile("ldmxcsr %0" : : "m"(now) : "memory");
        return was & bits;
    #elif defined(__aarch64__)
        const uint64_t bits = 0x3c80003;        /* of FPCR: default NaN, flush-to-zero, rounding (2), that of float16,
                                                   flushed inputs, alternate handling */
        uint64_t was, now;
        __asm__ volatile("mrs %0, fpcr" : "=r"(was));
        now = (was & ~bits) | (mode & bits);
        if (mode != (uint64_t)-1 && now != was) __asm__ volatile("msr fpcr, %0" : : "r"(now) : "memory");
        return was & bits;
    #else
        return 0;
    #endif
    }
    """
    bint can_start "optcore_can_start"(int threads) noexcept nogil
    bint refuses "optcore_refuses"(int threads) noexcept nogil
    void try_again "optcore_try_again"() noexcept nogil
    void set_stack "optcore_set_stack"(size_t bytes) noexcept nogil
    void team_was "optcore_team_was"(int threads) noexcept nogil
    uint64_t take_mode "optcore_take_mode"(uint64_t mode) noexcept nogil

cdef enum:
    NO_MODE = -1            # ask take_mode which it is, and leave it
