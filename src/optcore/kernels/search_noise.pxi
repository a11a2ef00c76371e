# The entry point that moves parameters by noise. A part of _kernels.pyx, which includes it.
#
# Owns the check of its arrays; never the noise (search_noise.pxd) nor what a trial's value means (search/).

cdef Pace noise_paces[2][<int> SIZES]


def perturb(list outs, list params, list offsets, object weights, int kind, uint64_t seed, uint64_t sample,
            int num_threads=0):
    """out <- p + sum_k weights[k] noise(seed, sample + k) for every tensor, in one walk.

    outs: for each of the params an array of its shape, or itself. offsets: the number of each tensor's first element.
    kind: 2 Gaussian, 3 Rademacher. True when done; False, with nothing changed, when an array is not usable as it
    stands or two that are written overlap.
    """
    cdef Py_ssize_t count = len(params), samples = len(weights), got = 0, total = 0, i
    cdef bint good = True
    cdef Py_ssize_t work
    cdef Search search
    cdef Pace* pace
    cdef float* c = <float*> PyMem_Calloc(samples + 1, sizeof(float))
    cdef Piece* pieces = <Piece*> PyMem_Calloc(count + 1, sizeof(Piece))
    cdef Py_buffer* held = <Py_buffer*> PyMem_Calloc(2 * count + 1, sizeof(Py_buffer))
    cdef Interval* written = <Interval*> PyMem_Calloc(count + 1, sizeof(Interval))
    try:
        if not (c and pieces and held and written):
            raise MemoryError
        if len(outs) != count or len(offsets) != count or kind not in (GAUSSIAN, RADEMACHER) or sample >> 53:
            raise ValueError("perturb takes an out and an offset for each parameter, kind 2 or 3, sample below 2^53")
        for i in range(samples):
            c[i] = weights[i]           # double to float: rounded once, to nearest
        for i in range(count):
            pieces[i].offset = offsets[i]
            good = acquire_float32(params[i], &held[got], False)
            if not good:
                break
            got += 1
            good = acquire_float32(outs[i], &held[got], True)
            if not good:
                break
            got += 1
            good = same_shape(&held[got - 2], &held[got - 1]) and (
                held[got - 1].buf == held[got - 2].buf or disjoint(&held[got - 1], &held[got - 2]))
            if not good:
                break
            pieces[i].p = <const float*> held[got - 2].buf
            pieces[i].out = <float*> held[got - 1].buf
            pieces[i].n = held[got - 1].len // <Py_ssize_t> sizeof(float)
            pieces[i].start = total
            total += pieces[i].n
            written[i] = Interval(<char*> held[got - 1].buf, <char*> held[got - 1].buf + held[got - 1].len)
        good = good and apart(written, count)
        if good and total:
            search = Search(pieces, count, total, TEAM.grain, SearchNoise(<Kind> kind, seed, sample, samples, c))
            work = total * max(samples, 1)
            pace = &noise_paces[kind - GAUSSIAN][size_class(work)]
            with nogil:
                run(&TEAM, num_threads, work, pace, 1, perturb_share, &search)
    finally:
        for i in range(got):
            PyBuffer_Release(&held[i])
        PyMem_Free(c)
        PyMem_Free(pieces)
        PyMem_Free(held)
        PyMem_Free(written)
    return good
