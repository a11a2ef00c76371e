# What the C compiler and the machine say: OpenMP, the processor's level, a clock, how this module was built.
#
# Owns all that differs between compilers and systems, as C text, since each is a macro, a builtin or a system call;
# never decides anything: dispatch among the builds is _dispatch.py's, the number of threads team.pxd's.

cdef extern from *:
    """
    #ifdef _OPENMP
      #include <omp.h>
      #define OPTCORE_OPENMP _OPENMP
    #else
      #define OPTCORE_OPENMP 0
      static inline int omp_get_num_threads(void) { return 1; }
      static inline int omp_get_max_threads(void) { return 1; }
    #endif
    #if defined(__unix__) || defined(__APPLE__)
      #include <dlfcn.h>
    #endif
    #include <time.h>

    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
      #define OPTCORE_LITTLE_ENDIAN 0
    #else
      #define OPTCORE_LITTLE_ENDIAN 1
    #endif

    /* The shared library that serves OpenMP in this process, or NULL when there is none. */
    static const char* optcore_openmp_library(void) {
    #if defined(_OPENMP) && (defined(__unix__) || defined(__APPLE__))
        Dl_info info;
        if (dladdr((void*)omp_get_num_threads, &info)) return info.dli_fname;
    #endif
        return NULL;
    }

    /* Processors that OpenMP's threads may run on; 0 in a serial build. The affinity mask cannot tell: told to bind
       threads (OMP_PROC_BIND, OMP_PLACES), OpenMP binds the main thread to a single processor when it is loaded. */
    static int optcore_processors(void) {
    #ifdef _OPENMP
        int all = omp_get_num_procs(), places = 0;
        if (omp_get_proc_bind() != omp_proc_bind_false)
            for (int k = 0; k < omp_get_num_places(); k++) places += omp_get_place_num_procs(k);
        return 0 < places && places < all ? places : all;
    #else
        return 0;
    #endif
    }

    /* 1, 3 or 4: the x86-64 psABI level of this processor and operating system; 0 on other machines.
       The builtins also ask the operating system whether it saves the wide registers. */
    static int optcore_cpu_level(void) {
    #if defined(__x86_64__)
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
              && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))) return 1;
        if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
              && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
              && __builtin_cpu_supports("avx512vl"))) return 3;
        return 4;
    #else
        return 0;
    #endif
    }

    /* Ask for the cache line at p, into the second cache or the first; any address may be asked for. */
    #define optcore_prefetch(p) __builtin_prefetch((p), 0, 2)
    #define optcore_prefetch_near(p) __builtin_prefetch((p), 0, 3)

    static double optcore_seconds(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    }
    """
    int omp_get_num_threads() noexcept nogil
    int omp_get_max_threads() noexcept nogil
    int processors "optcore_processors"() noexcept nogil
    int OPENMP_DATE "OPTCORE_OPENMP"
    bint LITTLE_ENDIAN "OPTCORE_LITTLE_ENDIAN"
    const char* ISA "OPTCORE_ISA"
    const char* COMPILER "OPTCORE_COMPILER"
    const char* FLAGS "OPTCORE_FLAGS"
    const char* openmp_library "optcore_openmp_library"() noexcept nogil
    int cpu_level "optcore_cpu_level"() noexcept nogil
    void prefetch "optcore_prefetch"(const void* p) noexcept nogil
    void prefetch_near "optcore_prefetch_near"(const void* p) noexcept nogil
    double seconds "optcore_seconds"() noexcept nogil
