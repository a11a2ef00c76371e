# cython: cdivision=True
# Threads: how many a walk takes, which of them does what, and the one parallel region of the package.
#
# Owns the measured choice between one thread and all (an autotuner), the formula of a thread's share, and the region;
# never what is done in it. Whoever has work gives it as a function of (work, k, parts) that does share k of `parts`.
#
# Design:
#   a) How many threads pay is measured, since no count of cores can tell. A second thread halves a step when a core is
#      free, and multiplies it when none is. NumPy's BLAS keeps its worker threads spinning for milliseconds after a
#      product; our team then waits for a core to be given back, and its own idle threads take cores from the next
#      product. Measured on 2 cores, training a 1 M parameter network in NumPy: whole step 1.8 ms with one thread in the
#      optimizer, 8.9 ms with two (python -m bench.step.threads, docs/decisions.md). Alone in
#      the process two are 1.9x faster.
#   b) So where the number of threads is our choice, each walk is timed, and the faster of "all threads" and "one" is
#      taken, for each rule and each power of two of work. The other way is tried again now and then, ever more seldom
#      while the answer stays the same. The bits of the result do not depend on it.

from cython.parallel cimport parallel, threadid

from libc.stdint cimport uint64_t

from optcore.kernels.platform cimport omp_get_max_threads, omp_get_num_threads, seconds
from optcore.kernels.workers cimport NO_MODE, can_start, refuses, take_mode, team_was

cdef enum:
    SIZES = 64              # powers of two of work
    FIRST_TRIAL = 4         # walks until the other way is tried for the first time
    LAST_TRIAL = 1024       # walks between two trials at most
    TRIAL = 4               # walks in a trial: the first may have to wake threads, and is not counted in its result
    LOST = 4                # times the known way's time, and a trial has no need of further walks
    SHARE = 100             # walks of the faster way for each one's worth of time that a trial costs: 1 %


cdef struct Pace:
    double[2] time          # smoothed seconds a walk takes: [0] one thread, [1] all; 0 is not known yet
    double trial            # seconds of the trial so far
    double waking           # and of its first walk
    int best                # index into time
    int period              # walks between two trials of the other way
    int left                # walks until the next trial; from 0 down it counts the trial's own


cdef inline int choose(Pace* pace) noexcept nogil:
    """Which way the next walk goes: 0 alone, 1 with the team."""
    if pace.period == 0:
        pace.best = 1
        pace.period = FIRST_TRIAL
        pace.left = FIRST_TRIAL
    pace.left -= 1
    return pace.best if pace.left > 0 else 1 - pace.best


cdef inline void learn(Pace* pace, int way, double took) noexcept nogil:
    """Take in what a walk took; at the end of a trial, keep the faster way."""
    cdef double known = pace.time[way]
    cdef int other = 1 - pace.best
    if pace.left > 0:
        # Quick to believe that a way is fast, slower that it has become slow: noise only ever adds time.
        pace.time[way] = took if known == 0 or took < known else known + 0.2 * (took - known)
        if pace.time[other] != 0 and pace.time[pace.best] > 1.5 * pace.time[other]:
            pace.left = 1                           # the chosen way has become slow: try the other one now
        return
    if pace.left == 0:
        pace.trial = 0
        pace.waking = took
    pace.trial += took
    if pace.left == 0 or pace.left > 1 - TRIAL and took < LOST * pace.time[pace.best]:
        return
    # The mean: where threads are more than the cores, most walks are slow and some are not.
    pace.time[other] = (pace.trial - pace.waking) / -pace.left
    if pace.time[other] < pace.time[pace.best]:
        pace.best = other
        pace.period = FIRST_TRIAL
    else:
        known = SHARE * (pace.trial / pace.time[pace.best] - 1 + pace.left)
        pace.period = <int> min(max(known, 2.0 * pace.period), <double> LAST_TRIAL)
    pace.left = pace.period


# ---------------------------------------------------------------------------------------------- the region

ctypedef void (*share_fn)(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil

cdef struct Part:
    Py_ssize_t begin
    Py_ssize_t end

cdef struct Team:           # what this process's walks have been told
    int threads             # how many, where a call does not say
    bint ours               # nobody asked for this number, so fewer may be used where they are faster
    int usual               # what omp_get_max_threads() says in a thread that nobody has told a number
    bint forked             # a child of fork(): OpenMP's threads did not come along
    Py_ssize_t grain        # elements; a cut between threads falls on a multiple of it
    Py_ssize_t least        # elements; less work than this never enters OpenMP


cdef inline Part share(Py_ssize_t count, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Which of `count` things share k of `parts` has: shares differ by one thing at most."""
    # count // parts * k, not count * k // parts: the product could leave 64 bits.
    cdef Py_ssize_t begin = count // parts * k + min(k, count % parts)
    return Part(begin, begin + count // parts + (1 if k < count % parts else 0))


cdef inline int size_class(Py_ssize_t n) noexcept nogil:
    """Of SIZES: the power of two."""
    cdef int k = 0
    while n >> (k + 1):
        k += 1
    return k


cdef inline int default_threads(const Team* team) noexcept nogil:
    """How many a walk uses when its call does not say. Where the number is ours, OpenMP's own for the calling thread is
    heeded if somebody has set it since it was loaded (threadpoolctl, torch.set_num_threads) and it is lower. What it
    was loaded with is not: launchers set OMP_NUM_THREADS=1."""
    cdef int told = omp_get_max_threads()
    if team.forked or refuses(team.threads):
        return 1
    return told if team.ours and told < team.threads and told != team.usual else team.threads


cdef inline void member(uint64_t mode, share_fn function, void* work, int k, int parts) noexcept nogil:
    """One thread's part in the region, in its caller's floating-point mode."""
    mode = take_mode(mode)
    function(work, k, parts)
    take_mode(mode)


cdef inline void region(int threads, share_fn function, void* work) noexcept nogil:
    cdef uint64_t mode
    if threads == 1 or not can_start(threads):
        function(work, 0, 1)
    else:
        mode = take_mode(<uint64_t> NO_MODE)
        with parallel(num_threads=threads):
            member(mode, function, work, threadid(), omp_get_num_threads())
        team_was(threads)


cdef inline void run(const Team* team, int num_threads, Py_ssize_t total, Pace* pace, double units, share_fn function,
                     void* work) noexcept nogil:
    """All shares of the work, which walks over `total` elements. num_threads 0: the default, of which `pace` chooses
    where it is ours. units: what a pace that knows the time of one is told it by."""
    cdef int threads = 1, way
    cdef double start
    if not team.forked and total >= team.least:
        threads = num_threads if num_threads else default_threads(team)
    if num_threads == 0 and team.ours and threads > 1 and can_start(threads):
        way = choose(pace)
        start = seconds()
        region(threads if way else 1, function, work)
        learn(pace, way, (seconds() - start) / units)
        return
    region(threads, function, work)
