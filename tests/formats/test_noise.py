"""The noise of stochastic rounding. That of state: for one element uniform and independent from step to step, from
state array to state array, from seed to seed, and from another element's over the steps; over the elements of one step
mostly more even than independent numbers are. That of parameters: independent in every way. Philox, as its authors
publish it. The kernels have the same bits: see test_bits.py.

Chi-squared over 256 cells has mean 255 and standard deviation sqrt(510) if the cells are equally likely; six of these
are left to chance in each comparison.
"""
from __future__ import annotations

import numpy as np
import pytest

from optcore.formats import bits16, rounding

BITS = {"bfloat16": 16, "8 bits": 20}
MULTIPLIERS = 1, 1, 0x85EBCA6B, 0xC2B2AE35              # of the four arrays with noise
N = 1 << 15
# Elements apart; Fibonacci numbers are where a constant stride would fail. (Array 0 takes the lower bits, and these
# recur: elements 2^8 apart differ by odd multiples of 2^8, those 2^16 or 2^20 apart not at all. A mean over many
# elements does not notice.)
APART = 1, 2, 987, 46368


def over_steps(slot, bits, seed=1, element=77, first=1, n=N):
    return np.array([rounding.noise(seed, t, element, 1, slot, bits)[0] for t in range(first, first + n)], np.int64)


@pytest.fixture(scope="module", params=BITS.values(), ids=BITS)
def drawn(request):
    """The noise of one element, by bits, state arrays and what else goes by turns: N steps, or N seeds."""
    bits = request.param
    found = {("steps", slot): over_steps(slot, bits) for slot in range(4)}
    found |= {("seeds", slot): np.array([rounding.noise(s, 9, 77, 1, slot, bits)[0] for s in range(N)], np.int64)
              for slot in range(4)}
    found["other seed", 0] = over_steps(0, bits, seed=2)
    found |= {(f"{k} on", slot): over_steps(slot, bits, element=77 + k) for slot in range(3) for k in APART}
    return bits, found


def check(cells, what):
    counts = np.bincount(cells, minlength=256)
    assert counts.size == 256
    chi2 = float(((counts - cells.size / 256) ** 2).sum() / (cells.size / 256))
    assert abs(chi2 - 255) < 6 * np.sqrt(510), (what, chi2)


def test_an_elements_noise_is_uniform_in_every_byte(drawn):
    bits, found = drawn
    for what, x in found.items():
        for low in (0, 4, bits - 8):
            check(x >> low & 255, (what, low))


def test_an_elements_noise_is_independent(drawn):
    """Pairs of the upper four bits (a rounding is decided by the upper ones), and their differences: with the next
    steps, with the other state arrays, with the same steps under another seed, with other elements."""
    bits, found = drawn
    pairs = {f"{k} on": (found[by, slot][:-k], found[by, slot][k:]) for k in (1, 2, 3) for by in ("steps", "seeds")
             for slot in range(4)}
    pairs |= {f"{by}: arrays {a} and {b}": (found[by, a], found[by, b]) for by in ("steps", "seeds")
              for a in range(4) for b in range(a)}
    pairs["another seed"] = found["steps", 0], found["other seed", 0]
    pairs |= {f"array {slot}, element {k} on": (found["steps", slot], found[f"{k} on", slot])
              for slot in range(3) for k in APART}
    for what, (x, y) in pairs.items():
        check((x >> (bits - 4)) << 4 | y >> (bits - 4), what)
        check((x - y) % 2**bits >> (bits - 8), f"difference, {what}")


def unevenness(multiplier, bits, n):
    """How far the number of the n points start + k multiplier (mod 2^bits) in an interval can be from its share.

    Let a/q be a convergent of multiplier / 2^bits: it is off by less than 1/q^2, so q consecutive points are the
    lattice of spacing 1/q with each point moved the same way by less than 1/q. An interval of length L holds from
    q L - 2 to q L + 2 of them. n is cut into such runs, the longest first: 2 for each run.
    """
    denominators, rest, modulus = [0, 1], multiplier % 2**bits, 2**bits
    while rest:
        denominators.append(modulus // rest * denominators[-1] + denominators[-2])
        modulus, rest = rest, modulus % rest
    runs = 0
    for q in reversed(denominators[1:]):
        runs += n // q
        n %= q
    return 2 * runs


@pytest.mark.parametrize("n", [256, 5000, 100_003, 1 << 18, (1 << 20) + 12345])
@pytest.mark.parametrize("slot", range(4))
@pytest.mark.parametrize("bits", BITS.values(), ids=BITS)
def test_the_noise_of_one_step_is_even_over_the_elements(bits, slot, n):
    """A state array takes the upper bits of a multiple of start + element * stride, array 0 the lower ones of it: equal
    steps on a circle either way. How even that is depends on the stride; with most it is more so than chance."""
    circle, rooms = bits if slot == 0 else 32, []
    for seed, step, offset in ((1, 1, 0), (2, 9, 12345), (3, 10**6, 2**32 - 1000), (4, 5, 6), (5, 6, 7)):
        noise = rounding.noise(seed, step, offset, n, slot, bits)
        first, second = (int(x) for x in rounding.noise(seed, step, 0, 2, 1, 32))
        room = unevenness((second - first) * MULTIPLIERS[slot], circle, n)
        rooms.append(room)
        counts = np.bincount(noise >> np.uint32(bits - 8), minlength=256)
        assert np.abs(counts - n / 256).max() <= room
        # The same of the part that rounds up, wherever a value lies between its neighbours.
        for part in (1, 100, 2**(bits - 1), 2**bits - 1):
            assert abs(int((noise >= 2**bits - part).sum()) - n * part / 2**bits) <= room
    assert n < 2**18 or np.median(rooms) < np.sqrt(n * 255) / 256 * 5  # five standard deviations of independent numbers


@pytest.mark.parametrize("part", [1 << 8, 100 << 8, 1 << 15, 2**16 - 2**8])
@pytest.mark.parametrize("slot", range(4))
def test_rounding_is_unbiased_over_steps(slot, part):
    """What is cut off is `part` of 2^16: it must round up with that probability. The number of ups is binomial; five
    standard deviations are left to chance."""
    value = np.full(N, 0x3F800000 + part, np.uint32).view(np.float32)
    ups = int((bits16.to_bfloat16(value, over_steps(slot, 16).astype(np.uint32)) - 0x3F80).sum())
    chance = part / 2**16
    assert abs(ups - N * chance) <= 5 * np.sqrt(N * chance * (1 - chance))


@pytest.mark.parametrize("counter, key, words", [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
])
def test_philox_gives_the_published_answers(counter, key, words):
    """Those of philox4x32 with 10 rounds in kat_vectors of Random123 (D. E. Shaw Research)."""
    counter, key, words = ([int(x, 16) for x in row.split()] for row in (counter, key, words))
    assert rounding.philox(np.array([counter], np.uint64), tuple(key)).tolist() == [words]


# ------------------------------------------------------------------------------------------- of parameters


def parameters(seed, step, offset, n):
    return rounding.noise(seed, step, offset, n, rounding.OF_PARAMETER).astype(np.int64)


FAR = [2**k for k in range(17)]             # elements apart


def test_a_parameters_noise_has_every_value_of_its_16_bits_alike():
    """2^22 numbers in 65,536 cells: chi-squared has mean 65,535 and standard deviation sqrt(2 * 65,535). 16 steps of
    2^18 elements, and 2^18 steps of 16 elements."""
    over = np.concatenate([parameters(5, t, 2**33 + 77, 16) for t in range(1, 2**18 + 1)])
    for drawn in (over, np.concatenate([parameters(6, t, 0, 2**18) for t in range(1, 17)])):
        counts = np.bincount(drawn, minlength=2**16)
        assert counts.size == 2**16
        chi2 = float(((counts - 64) ** 2).sum() / 64)
        assert abs(chi2 - 65535) < 6 * np.sqrt(2 * 65535)


@pytest.mark.parametrize("apart", [*FAR, 3, 987, 46368])
def test_a_parameters_noise_is_independent_of_another_elements(apart):
    """Within one step, over 64 steps: pairs of the upper four bits, and the correlation. The sum of n products of
    independent numbers of variance 1 has variance n: z of each step is one of a standard normal, of all together too.
    (A Weyl sequence alone, or one multiplication of it, fails each of these.)"""
    n, z = 1 << 15, []
    for t in range(1, 65):
        x = parameters(3, t, 0, n + apart)
        if t <= 4:
            check((x[:n] >> 12) << 4 | x[apart:] >> 12, (t, apart))
        u = (x - 32767.5) * np.sqrt(12) / 2**16
        z.append(float(u[:n] @ u[apart:]) / np.sqrt(n))
    assert np.abs(z).max() < 6 and abs(np.mean(z)) * 8 < 6
    # The variance of 64 such z is 1 with a standard deviation of sqrt(2 / 64).
    assert abs(np.mean(np.square(z)) - 1) < 6 * np.sqrt(2 / 64)


def test_three_elements_of_a_parameters_noise_are_independent():
    """Products of three at equal distances, which determine each other in a Weyl sequence."""
    n, z = 1 << 15, []
    for t in range(1, 65):
        for apart in (1, 2, 1024):
            u = (parameters(8, t, 0, n + 2 * apart) - 32767.5) * np.sqrt(12) / 2**16
            z.append(float((u[:n] * u[apart:n + apart] * u[2 * apart:]).sum()) / np.sqrt(n))
    assert np.abs(z).max() < 6
    assert abs(np.mean(np.square(z)) - 1) < 6 * np.sqrt(2 / len(z))


def test_a_parameters_noise_is_independent_of_other_steps_seeds_and_arrays():
    """Over the elements of a step, and over the steps of an element."""
    n = 1 << 15
    of_states = [rounding.noise(1, 1, 0, n, slot).astype(np.int64) for slot in range(4)]
    here = parameters(1, 1, 0, n)
    for other in (*(parameters(1, t, 0, n) for t in (2, 3, 1025)), *(parameters(s, 1, 0, n) for s in (2, 3, 2**63)),
                  *of_states):
        check((here >> 12) << 4 | other >> 12, "pairs")
        check((here - other) % 2**16 >> 8, "difference")
    one = np.concatenate([parameters(1, t, 77, 1) for t in range(1, n + 1)])
    for other in (np.concatenate([parameters(1, t, 77 + k, 1) for t in range(1, n + 1)]) for k in (1, 2, 256, 2**16)):
        check((one >> 12) << 4 | other >> 12, "pairs of elements over the steps")
        check((one - other) % 2**16 >> 8, "difference over the steps")
    for k in (1, 2, 8):
        check((one[:-k] >> 12) << 4 | one[k:] >> 12, f"{k} steps on")
    for slot in range(4):
        check((one >> 12) << 4 | over_steps(slot, 16) >> 12, f"array {slot} over the steps")


def test_the_mean_of_a_parameters_noise_over_the_steps_is_unbiased():
    """Of each of 4096 elements over 4096 steps: n means of variance 1/12 / steps. Mean square, largest, mean."""
    n = steps = 1 << 12
    total = np.zeros(n)
    for t in range(1, steps + 1):
        total += parameters(9, t, 0, n) - 32767.5
    z = total * np.sqrt(12) / 2**16 / np.sqrt(steps)
    assert abs(np.mean(z**2) - 1) < 6 * np.sqrt(2 / n) and np.abs(z).max() < 6.5 and abs(np.mean(z)) * np.sqrt(n) < 6
