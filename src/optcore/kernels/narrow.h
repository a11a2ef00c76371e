/* How 16-bit numbers are moved between memory and vectors: data movement only, no arithmetic, a tile at a time.

   A tile is OPTCORE_TILE elements, two vectors. Within it they lie in tile order: first those whose number modulo 8 is
   below 4, then the others. So a vector of 16-bit numbers becomes two of 32 bits by one instruction each and goes back
   by one, and none crosses the 128-bit lanes, which costs most on AVX2; float32 meets the order in pieces of 128 bits.
   Intrinsics where they are known to pay, else plain C, which means the same: OPTCORE_PLAIN asks for it everywhere. */
#ifndef OPTCORE_NARROW_H
#define OPTCORE_NARROW_H

#include <stdint.h>
#include <string.h>

#if !defined(OPTCORE_PLAIN) && defined(__AVX512BW__)
  #include <immintrin.h>
  #define OPTCORE_TILE 32
  #define OPTCORE_HALF 16

static inline void optcore_spread_16(const void* from, float* to) {
    const __m512i x = _mm512_loadu_si512(from), zero = _mm512_setzero_si512();
    _mm512_storeu_si512(to, _mm512_unpacklo_epi16(zero, x));
    _mm512_storeu_si512(to + OPTCORE_HALF, _mm512_unpackhi_epi16(zero, x));
}

static inline void optcore_gather_16(const uint32_t* from, void* to) {
    const __m512i x = _mm512_loadu_si512(from), y = _mm512_loadu_si512(from + OPTCORE_HALF);
    _mm512_storeu_si512(to, _mm512_packus_epi32(_mm512_srli_epi32(x, 16), _mm512_srli_epi32(y, 16)));
}

static inline void optcore_spread_32(const float* from, float* to) {
    const __m512 x = _mm512_loadu_ps(from), y = _mm512_loadu_ps(from + 16);
    _mm512_storeu_ps(to, _mm512_shuffle_f32x4(x, y, 0x88));
    _mm512_storeu_ps(to + OPTCORE_HALF, _mm512_shuffle_f32x4(x, y, 0xdd));
}

static inline void optcore_gather_32(const float* from, float* to) {
    const __m512d x = _mm512_castps_pd(_mm512_loadu_ps(from));
    const __m512d y = _mm512_castps_pd(_mm512_loadu_ps(from + OPTCORE_HALF));
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    _mm512_storeu_ps(to, _mm512_castpd_ps(_mm512_permutex2var_pd(x, first, y)));
    _mm512_storeu_ps(to + 16, _mm512_castpd_ps(_mm512_permutex2var_pd(x, second, y)));
}

#elif !defined(OPTCORE_PLAIN) && defined(__AVX2__)
  #include <immintrin.h>
  #define OPTCORE_TILE 16
  #define OPTCORE_HALF 8

static inline void optcore_spread_16(const void* from, float* to) {
    const __m256i x = _mm256_loadu_si256((const __m256i*)from), zero = _mm256_setzero_si256();
    _mm256_storeu_si256((__m256i*)to, _mm256_unpacklo_epi16(zero, x));
    _mm256_storeu_si256((__m256i*)(to + OPTCORE_HALF), _mm256_unpackhi_epi16(zero, x));
}

static inline void optcore_gather_16(const uint32_t* from, void* to) {
    const __m256i x = _mm256_loadu_si256((const __m256i*)from);
    const __m256i y = _mm256_loadu_si256((const __m256i*)(from + OPTCORE_HALF));
    _mm256_storeu_si256((__m256i*)to, _mm256_packus_epi32(_mm256_srli_epi32(x, 16), _mm256_srli_epi32(y, 16)));
}

static inline __m256 optcore_pieces(const float* low, const float* high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

static inline void optcore_spread_32(const float* from, float* to) {
    _mm256_storeu_ps(to, optcore_pieces(from, from + 8));
    _mm256_storeu_ps(to + OPTCORE_HALF, optcore_pieces(from + 4, from + 12));
}

static inline void optcore_gather_32(const float* from, float* to) {
    const __m256 x = _mm256_loadu_ps(from), y = _mm256_loadu_ps(from + OPTCORE_HALF);
    _mm_storeu_ps(to, _mm256_castps256_ps128(x));
    _mm_storeu_ps(to + 4, _mm256_castps256_ps128(y));
    _mm_storeu_ps(to + 8, _mm256_extractf128_ps(x, 1));
    _mm_storeu_ps(to + 12, _mm256_extractf128_ps(y, 1));
}

#else
  #define OPTCORE_TILE 16
  #define OPTCORE_HALF 8
  #if !defined(OPTCORE_PLAIN) && defined(__SSE2__)
    #include <emmintrin.h>

static inline void optcore_spread_16(const void* from, float* to) {
    const __m128i zero = _mm_setzero_si128();
    for (int k = 0; k < 2; k++) {
        const __m128i x = _mm_loadu_si128((const __m128i*)from + k);
        _mm_storeu_si128((__m128i*)(to + 4 * k), _mm_unpacklo_epi16(zero, x));
        _mm_storeu_si128((__m128i*)(to + OPTCORE_HALF + 4 * k), _mm_unpackhi_epi16(zero, x));
    }
}

static inline void optcore_gather_16(const uint32_t* from, void* to) {
    for (int k = 0; k < 2; k++) {       /* shifted with the sign, no number is cut off by the packing */
        const __m128i x = _mm_loadu_si128((const __m128i*)(from + 4 * k));
        const __m128i y = _mm_loadu_si128((const __m128i*)(from + OPTCORE_HALF + 4 * k));
        _mm_storeu_si128((__m128i*)to + k, _mm_packs_epi32(_mm_srai_epi32(x, 16), _mm_srai_epi32(y, 16)));
    }
}

  #else

static inline void optcore_spread_16(const void* from, float* to) {
    uint16_t x[OPTCORE_TILE];
    memcpy(x, from, sizeof x);
    for (int k = 0; k < OPTCORE_TILE; k++) {
        const uint32_t bits = (uint32_t)x[k] << 16;
        memcpy(to + (k / 8 * 4 + k % 4 + (k % 8 < 4 ? 0 : OPTCORE_HALF)), &bits, 4);
    }
}

static inline void optcore_gather_16(const uint32_t* from, void* to) {
    uint16_t x[OPTCORE_TILE];
    for (int k = 0; k < OPTCORE_TILE; k++)
        x[k] = (uint16_t)(from[k / 8 * 4 + k % 4 + (k % 8 < 4 ? 0 : OPTCORE_HALF)] >> 16);
    memcpy(to, x, sizeof x);
}

  #endif

static inline void optcore_spread_32(const float* from, float* to) {
    for (int k = 0; k < 2; k++) {
        memcpy(to + 4 * k, from + 8 * k, 16);
        memcpy(to + OPTCORE_HALF + 4 * k, from + 8 * k + 4, 16);
    }
}

static inline void optcore_gather_32(const float* from, float* to) {
    for (int k = 0; k < 2; k++) {
        memcpy(to + 8 * k, from + 4 * k, 16);
        memcpy(to + 8 * k + 4, from + OPTCORE_HALF + 4 * k, 16);
    }
}

#endif
#endif
