# Registration: a rule's row of the table, its loops by naming them.
#
# Knows no rule: enlist_rules in rules.pxi lists them. It takes rule_t and traits from rules.pxd, which imports this file at
# its end, so this file is reached through that one alone.

from libc.string cimport memset

from optcore.kernels.formats cimport LOOP_ALL16, LOOP_BFLOAT16, LOOP_FLOAT64, LOOP_GRADIENT16
from optcore.kernels.loops cimport gradient16, span
from optcore.kernels.rules cimport rule_t, traits
from optcore.kernels.table cimport MAX_RULES, Registry, Rule
from optcore.kernels.tensor cimport MAX_SCALARS, MAX_SLOTS, PRELUDE, span_fn
from optcore.kernels.tiles cimport all16, state16, tiles

cdef extern from *:
    # One more at each place in the C file that names it: the versions of enlist, one for each type in rule_t, are
    # counted by it, whether they are called or not.
    int NEXT_NUMBER "__COUNTER__"


cdef inline int number_before() noexcept:
    return NEXT_NUMBER


cdef inline int enlist(Registry* to, dict known, const rule_t* kind, str name) except -1:
    """Give the rule the next number. known: what rules() returns, in the order of the numbers."""
    cdef int version = NEXT_NUMBER
    cdef rule_t blank
    cdef Rule rule
    cdef int k
    memset(&blank, 0, sizeof(blank))
    rule.slots = traits(kind).slots
    rule.codes = traits(kind).codes
    rule.decays = traits(kind).decays
    rule.fields = sizeof(rule_t) // sizeof(float)
    for k in range(<int> LOOP_FLOAT64): # without state all are one; that of float64 is registry64.pxd's
        rule.spans[k] = <span_fn> <void*> span[rule_t, float]
    rule.spans[<int> LOOP_GRADIENT16] = <span_fn> <void*> span[rule_t, gradient16]
    rule.spans[<int> LOOP_ALL16] = <span_fn> <void*> tiles[rule_t, all16]
    if traits(kind).slots > 0:
        rule.spans[<int> LOOP_BFLOAT16] = <span_fn> <void*> tiles[rule_t, state16]
    return append(to, known, rule, name, blank)


cdef inline int append(Registry* to, dict known, Rule rule, str name, dict blank) except -1:
    if PRELUDE + rule.fields > MAX_SCALARS or rule.slots > MAX_SLOTS or to.count == MAX_RULES or name in known:
        raise SystemError(f"{name}: listed twice, or with more scalars or state than the engine makes room for")
    to.rules[to.count] = rule
    to.count += 1
    known[name] = (tuple(blank), rule.slots, rule.codes, rule.decays)
    return 0


cdef inline int check_complete(const Registry* to) except -1:
    """After the last enlist. (Its number, less that of number_before above: between them are the versions'.)"""
    cdef int listed = NEXT_NUMBER - number_before() - 1
    if listed != to.count:
        raise SystemError(f"kernels/rules.pxd: rule_t lists {listed} rules, enlist_rules {to.count}")
    return 0
