# cython: cdivision=True
# How many threads pay: measured, since no count of cores can tell.
#
# A second thread halves a step when a core is free, and multiplies it when none is. NumPy's BLAS keeps its
# worker threads spinning for milliseconds after a product; our team then waits for a core to be given back,
# and its own idle threads take cores from the next product. Measured on 2 cores, training a 1 M parameter
# network in NumPy: whole step 2.1 ms with one thread in the optimizer, 8.0 ms with two. Alone in the process
# the same walk is 1.9x faster with two.
#
# So where the number of threads is our choice, the engine times its own walks and takes the faster of "all
# threads" and "one", for each rule and each power of two of work, and tries the other way again now and then,
# ever more seldom while the answer stays the same. The bits of the result do not depend on it.

cdef enum:
    FIRST_TRIAL = 4         # walks until the other way is tried for the first time
    LAST_TRIAL = 1024       # walks between two trials at most
    TRIAL = 3               # walks in a trial: the first one may have to wake threads that the next ones find awake


cdef struct Pace:
    double[2] time          # smoothed seconds a walk takes: [0] one thread, [1] all; 0 is not known yet
    double trial            # the fastest walk of the trial so far
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
    if pace.left == 0 or took < pace.trial:
        pace.trial = took
    if pace.left > 1 - TRIAL:
        return
    pace.time[other] = pace.trial
    if pace.time[other] < pace.time[pace.best]:
        pace.best = other
        pace.period = FIRST_TRIAL
    elif pace.period < LAST_TRIAL:
        pace.period *= 2
    pace.left = pace.period
