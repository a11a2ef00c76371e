# cython: cdivision=True
# Noise of a search: counter-based random numbers, a function of (seed, sample, element), made where they are used, by
# any thread, over any shard, as often as needed.
#
# Owns Gaussian noise and signs, and the one formula that uses them; never stores a random number, and knows no Python
# object. The formula:
#
#     out <- p + sum_k c_k noise_k        in float32, the sum from 0 on in the order of k
#
# The counters of Philox are laid out so that the vectoriser finds neighbours in memory (search/noise.py says the same):
#
#     gaussian     in every 256 elements the four words of 64 counters, words first: 0 of all, 1 of all, ...
#     rademacher   in every 2048 elements 32 bits of such words of 16 counters, bits last: bit 0 of all 64 words, ...
#
# The counter is (number of the counter, sample, kind << 30).

from libc.math cimport sqrtf
from libc.stdint cimport int32_t, uint32_t, uint64_t

from optcore.kernels.bits16 cimport as_bits, as_float
from optcore.kernels.philox cimport philox
from optcore.kernels.team cimport Part, share

cdef enum Kind:
    GAUSSIAN = 2
    RADEMACHER = 3

cdef enum:
    NOISE_CHUNK = 2048            # elements made at a time: they and their sum are 16 KiB, half a first cache
    COUNTERS = 64              # counters of a block of Gaussian noise
    NORMALS = 4 * COUNTERS     # its elements
    SIGNS = 64              # words of a chunk of signs


cdef struct SearchNoise:
    Kind kind
    uint64_t seed
    uint64_t sample         # the first one's number
    Py_ssize_t samples
    const float* weights    # c, one for each sample


cdef struct Piece:          # one tensor
    const float* p
    float* out              # p itself, or memory apart from it
    Py_ssize_t n
    Py_ssize_t start        # elements of the tensors before it
    uint64_t offset         # the number of its first element


cdef inline void words(uint32_t* to, Py_ssize_t count, uint64_t first, const SearchNoise* noise,
                       uint64_t sample) noexcept nogil:
    """The words of `count` counters from number `first` on: word 0 of all, word 1 of all, ..."""
    cdef uint32_t key0 = <uint32_t> noise.seed, key1 = <uint32_t> (noise.seed >> 32)
    cdef uint32_t low = <uint32_t> sample, high = <uint32_t> (sample >> 32) | <uint32_t> noise.kind << 30
    cdef uint32_t[4] x
    cdef Py_ssize_t i
    for i in range(count):
        x[0] = <uint32_t> (first + <uint64_t> i)
        x[1] = <uint32_t> ((first + <uint64_t> i) >> 32)
        x[2] = low
        x[3] = high
        philox(x, key0, key1)
        to[i] = x[0]
        to[count + i] = x[1]
        to[2 * count + i] = x[2]
        to[3 * count + i] = x[3]


cdef inline float radius(uint32_t word) noexcept nogil:
    """sqrt(-2 ln u), u the upper 31 bits of the word as a fraction, in its middle: at most 6.67, at least 0."""
    cdef float u = <float> <int32_t> (word >> 1) * <float> 4.656612873077393e-10 + <float> 2.3283064365386963e-10
    # u = 2^e (1 + f), 1 + f between the roots of 1/2 and 2; then -2 ln u = -2 e ln 2 + f q(f), to 1.7e-7 of it.
    cdef uint32_t bits = as_bits(u) + <uint32_t> 0x004AFB0D
    cdef float e = <float> (<int32_t> (bits >> 23) - 127)
    cdef float f = as_float((bits & <uint32_t> 0x007FFFFF) + <uint32_t> 0x3F3504F3) - <float> 1
    cdef float q = <float> 0.20213527977466583
    q = q * f + <float> -0.3244504928588867
    q = q * f + <float> 0.3450169563293457
    q = q * f + <float> -0.3980034589767456
    q = q * f + <float> 0.4993981719017029
    q = q * f + <float> -0.6667011976242065
    q = q * f + <float> 1.0000072717666626
    q = q * f + <float> -1.9999998807907104
    return sqrtf(e * <float> -1.3862943649291992 + q * f)


cdef inline void normal_pair(float* a, float* b, uint32_t for_radius, uint32_t for_angle) noexcept nogil:
    """Two independent normal numbers (Box and Muller): r cos(angle), its sign from the top bit, and r sin(angle), the
    angle within a quarter turn of 0 by the other bits. Absolute error of sine and cosine below 1.5e-7."""
    cdef float r = radius(for_radius)
    cdef float t = <float> <int32_t> (for_angle << 1) * <float> 4.656612873077393e-10     # in quarter turns
    cdef float z = t * t
    cdef float s = <float> 0.00015167852689046413
    cdef float c = <float> 0.0008581905858591199
    s = s * z + <float> -0.004674157593399286
    c = c * z + <float> -0.020810628309845924
    s = s * z + <float> 0.07968992739915848
    c = c * z + <float> 0.2536507546901703
    s = s * z + <float> -0.6459637880325317
    c = c * z + <float> -1.2336982488632202
    s = s * z + <float> 1.5707963705062866
    c = c * z + <float> 0.9999999403953552
    a[0] = as_float(as_bits(r * c) ^ (for_angle & <uint32_t> 0x80000000))
    b[0] = r * (s * t)


cdef inline void gaussian(float* to, Py_ssize_t begin, Py_ssize_t end, uint64_t chunk, const SearchNoise* noise,
                          uint64_t sample) noexcept nogil:
    """Elements begin .. end of a chunk, and the rest of their blocks."""
    cdef uint32_t[NORMALS] word
    cdef Py_ssize_t block, i
    cdef float* x
    for block in range(begin // NORMALS, (end + NORMALS - 1) // NORMALS):
        words(word, COUNTERS, (chunk * (NOISE_CHUNK // NORMALS) + <uint64_t> block) * COUNTERS, noise, sample)
        x = to + block * NORMALS
        for i in range(COUNTERS):
            normal_pair(x + i, x + COUNTERS + i, word[i], word[COUNTERS + i])
        for i in range(COUNTERS):
            normal_pair(x + 2 * COUNTERS + i, x + 3 * COUNTERS + i, word[2 * COUNTERS + i], word[3 * COUNTERS + i])


cdef inline void rademacher(float* to, Py_ssize_t begin, Py_ssize_t end, uint64_t chunk, const SearchNoise* noise,
                            uint64_t sample) noexcept nogil:
    """1 or -1, as gaussian()."""
    cdef uint32_t[SIGNS] word
    cdef Py_ssize_t bit, i
    words(word, SIGNS // 4, chunk * (SIGNS // 4), noise, sample)
    for bit in range(begin // SIGNS, (end + SIGNS - 1) // SIGNS):
        for i in range(SIGNS):
            to[bit * SIGNS + i] = as_float(word[i] >> <uint32_t> bit << 31 | <uint32_t> 0x3F800000)


cdef inline void perturb_span(const Piece* t, Py_ssize_t lo, Py_ssize_t hi, const SearchNoise* noise) noexcept nogil:
    """out <- p + sum_k c_k noise_k for elements lo .. hi of a tensor."""
    cdef float[NOISE_CHUNK] made, total
    cdef Py_ssize_t begin, end, i, k, n
    cdef uint64_t chunk
    cdef float c
    cdef const float* p
    cdef float* out
    while lo < hi:
        chunk = (t.offset + <uint64_t> lo) // NOISE_CHUNK
        begin = <Py_ssize_t> ((t.offset + <uint64_t> lo) % NOISE_CHUNK)
        end = min(<Py_ssize_t> NOISE_CHUNK, begin + (hi - lo))
        n = end - begin
        for i in range(begin, end):
            total[i] = 0
        for k in range(noise.samples):
            if noise.kind == GAUSSIAN:
                gaussian(made, begin, end, chunk, noise, noise.sample + <uint64_t> k)
            else:
                rademacher(made, begin, end, chunk, noise, noise.sample + <uint64_t> k)
            c = noise.weights[k]
            for i in range(begin, end):
                total[i] = total[i] + c * made[i]
        p = t.p + lo
        out = t.out + lo
        for i in range(n):
            out[i] = p[i] + total[begin + i]
        lo += n


cdef struct Search:         # one walk
    const Piece* pieces
    Py_ssize_t count
    Py_ssize_t total        # elements
    Py_ssize_t grain        # cuts between threads fall on multiples of it
    SearchNoise noise


cdef inline void perturb_share(void* work, Py_ssize_t k, Py_ssize_t parts) noexcept nogil:
    """Share k of `parts` of a Search."""
    cdef const Search* s = <const Search*> work
    cdef Part part = share((s.total + s.grain - 1) // s.grain, k, parts)
    cdef Py_ssize_t begin = min(s.total, part.begin * s.grain)
    cdef Py_ssize_t end = min(s.total, part.end * s.grain)
    cdef Py_ssize_t i
    cdef const Piece* t
    for i in range(s.count):
        t = &s.pieces[i]
        perturb_span(t, max(begin - t.start, 0), min(end - t.start, t.n), &s.noise)
