# The rules as data: for each one its loops, by the format of its state, and how many scalars and state arrays it takes.
#
# Owns registration, which makes a rule's loops by naming them. Knows no rule: enlist_rules in rules.pxd lists them, and
# imports this file, so this file is reached through that one alone.

from libc.string cimport memset

from optcore.kernels.formats cimport LOOP_ALL16, LOOP_BFLOAT16, LOOP_BLOCK8, LOOPS
from optcore.kernels.loops cimport eight, span
from optcore.kernels.rules cimport rule_t, traits
from optcore.kernels.tensor cimport MAX_SCALARS, MAX_SLOTS, PRELUDE, span_fn
from optcore.kernels.tiles cimport all16, state16, tiles

cdef enum:
    MAX_RULES = 64

cdef struct Rule:
    span_fn spans[<int> LOOPS]
    int slots               # see Traits in rules.pxd
    int nonnegative
    int fields              # scalars of its own, behind those of the prelude

cdef struct Registry:
    Rule rules[MAX_RULES]
    int count


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
    rule.nonnegative = traits(kind).nonnegative
    rule.fields = sizeof(rule_t) // sizeof(float)
    for k in range(<int> LOOPS):        # without state all are one
        rule.spans[k] = <span_fn> <void*> span[rule_t, float]
    rule.spans[<int> LOOP_ALL16] = <span_fn> <void*> tiles[rule_t, all16]
    if traits(kind).slots > 0:
        rule.spans[<int> LOOP_BFLOAT16] = <span_fn> <void*> tiles[rule_t, state16]
        rule.spans[<int> LOOP_BLOCK8] = <span_fn> <void*> span[rule_t, eight]
    return append(to, known, rule, name, blank)


cdef inline int append(Registry* to, dict known, Rule rule, str name, dict blank) except -1:
    if PRELUDE + rule.fields > MAX_SCALARS or rule.slots > MAX_SLOTS or to.count == MAX_RULES or name in known:
        raise SystemError(f"{name}: listed twice, or with more scalars or state than the engine makes room for")
    to.rules[to.count] = rule
    to.count += 1
    known[name] = (tuple(blank), rule.slots, rule.nonnegative)
    return 0


cdef inline int check_complete(const Registry* to) except -1:
    """After the last enlist. (Its number, less that of number_before above: between them are the versions'.)"""
    cdef int listed = NEXT_NUMBER - number_before() - 1
    if listed != to.count:
        raise SystemError(f"kernels/rules.pxd: rule_t lists {listed} rules, enlist_rules {to.count}")
    return 0
