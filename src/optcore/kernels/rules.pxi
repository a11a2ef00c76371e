# The formulas: what one optimizer does to one element, in float32 or float64. rules.pxd and rules64.pxd include this file;
# each says before what `real` is, and has the loops registered that it is for.
#
# Owns the arithmetic and its order; never loops, memory, threads or settings. A rule is five things, all in this file:
#   a struct      its scalars, in the order in which its row of the table in rules/ computes them; also the tag by which
#                 Cython makes a version of every fused function for it
#   rule_t        the struct's name in this list
#   traits        how many state arrays it keeps, and what 8-bit codes have to know of each
#   update        the formula; p is the parameter, g the gradient, a b c the state in the row's order
#   enlist_rules  its name as text
# Forgotten in traits it is an error of the C compiler, in enlist_rules one of the import.
#
# Before every rule comes the prelude: g is scaled (-1 to maximise) and clipped, coupled weight decay joins it, decoupled
# decay shrinks p. `scalars[1] != 0` is asked so that an infinite parameter without decay does not make its gradient NaN;
# it is constant in the loop and costs a blend.
#
# Design:
#   a) Whoever includes this sets cdivision: Cython's check for a zero divisor would keep the loop from being vectorised.
#   b) No literal 1.0 and no pow: a bare float literal is a double, and what depends only on the step is computed once a
#      step, in double, in rules/.
#   c) reference.py says the same operations in the same order; tests compare bits. To change one, change both.
#   d) A comparison picks so that a NaN survives it: `x if x > y else y` is y when either is a NaN.

from optcore.kernels.table cimport Registry


ctypedef struct SGD:
    real lr

ctypedef struct Momentum:
    real mu
    real gain
    real lr

ctypedef struct Nesterov:
    real mu
    real lr

ctypedef struct NesterovClassical:
    real mu
    real lr

ctypedef struct Lookahead:
    real mu

ctypedef struct Accumulate:
    real weight

ctypedef struct Adagrad:
    real lr
    real eps

ctypedef struct RowwiseAdagrad:
    real lr
    real eps

ctypedef struct FTRL:
    real inv_lr
    real beta
    real l1
    real l2

ctypedef struct RMSprop:
    real alpha
    real alpha_c
    real lr
    real eps

ctypedef struct RMSpropMomentum:
    real alpha
    real alpha_c
    real lr
    real eps
    real mu

ctypedef struct RMSpropCentered:
    real alpha
    real alpha_c
    real lr
    real eps

ctypedef struct RMSpropCenteredMomentum:
    real alpha
    real alpha_c
    real lr
    real eps
    real mu

ctypedef struct Adam:
    real beta1_c
    real beta2
    real beta2_c
    real lr
    real root
    real eps

ctypedef struct AdamAMSGrad:
    real beta1_c
    real beta2
    real beta2_c
    real lr
    real root
    real eps

ctypedef struct Lion:
    real beta1
    real beta1_c
    real beta2
    real beta2_c
    real lr

ctypedef struct SignSGD:
    real lr

ctypedef struct Signum:
    real beta
    real beta_c
    real lr

ctypedef struct Adadelta:
    real rho
    real rho_c
    real eps
    real lr

ctypedef struct Adamax:
    real beta1_c
    real beta2
    real eps
    real lr

ctypedef struct NAdam:
    real beta1_c
    real beta2
    real beta2_c
    real lr_g
    real lr_m
    real root
    real eps

ctypedef struct RAdam:
    real beta1_c
    real beta2
    real beta2_c
    real lr
    real rectified         # 1, or 0 in the first steps, where the divisor is `eps` alone
    real eps

ctypedef struct Rprop:
    real etaminus
    real etaplus
    real least
    real most

ctypedef struct ASGD:
    real shrink
    real eta
    real mu

ctypedef struct AdEMAMix:
    real beta1_c
    real beta3_c
    real beta2
    real beta2_c
    real lr_fast
    real lr_slow
    real root
    real eps


ctypedef fused rule_t:
    SGD
    Momentum
    Nesterov
    NesterovClassical
    Lookahead
    Accumulate
    Adagrad
    RowwiseAdagrad
    FTRL
    RMSprop
    RMSpropMomentum
    RMSpropCentered
    RMSpropCenteredMomentum
    Adam
    AdamAMSGrad
    Lion
    Adadelta
    Adamax
    NAdam
    RAdam
    Rprop
    ASGD
    AdEMAMix
    SignSGD
    Signum


cdef struct Traits:
    int slots               # state arrays
    int codes               # a digit for each, 0x00F is a, 0x0F0 b, 0xF00 c: its Code in block8.pxd. 0 has a sign, 1
                            # is a square or a mean of squares, 2 as large as gradients; these are never below 0. 8,
                            # of a alone: one number a row, a sum of mean squares (rows.pxd)
    int decays              # likewise: which of the struct's scalars, from 1 on, it is multiplied by at each step; or 0


cdef extern from *:
    """
    /* In C a rule without a line in traits() meets this macro, and the compiler's message names its struct. */
    #define optcore_rule_without_a_line_in_traits(r) _Generic(*(r), int: 0)
    """
    int rule_without_a_line_in_traits "optcore_rule_without_a_line_in_traits"(const void* r) noexcept nogil


cdef inline Traits traits(const rule_t* r) noexcept nogil:
    """Constants to the C compiler."""
    if rule_t is SGD:                             return Traits(0, 0x000, 0x000)
    elif rule_t is Momentum:                      return Traits(1, 0x000, 0x000)
    elif rule_t is Nesterov:                      return Traits(1, 0x000, 0x000)
    elif rule_t is NesterovClassical:             return Traits(1, 0x000, 0x000)
    elif rule_t is Lookahead:                     return Traits(1, 0x000, 0x000)
    elif rule_t is Accumulate:                    return Traits(0, 0x000, 0x000)
    elif rule_t is Adagrad:                       return Traits(1, 0x001, 0x000)
    elif rule_t is RowwiseAdagrad:                return Traits(1, 0x008, 0x000)
    elif rule_t is FTRL:                          return Traits(2, 0x010, 0x000)
    elif rule_t is RMSprop:                       return Traits(1, 0x001, 0x001)
    elif rule_t is RMSpropMomentum:               return Traits(2, 0x001, 0x001)
    elif rule_t is RMSpropCentered:               return Traits(2, 0x001, 0x001)
    elif rule_t is RMSpropCenteredMomentum:       return Traits(3, 0x001, 0x001)
    elif rule_t is Adam:                          return Traits(2, 0x010, 0x020)
    elif rule_t is AdamAMSGrad:                   return Traits(3, 0x110, 0x020)
    elif rule_t is Lion:                          return Traits(1, 0x000, 0x000)
    elif rule_t is Adadelta:                      return Traits(2, 0x011, 0x011)
    elif rule_t is Adamax:                        return Traits(2, 0x020, 0x020)
    elif rule_t is NAdam:                         return Traits(2, 0x010, 0x020)
    elif rule_t is RAdam:                         return Traits(2, 0x010, 0x020)
    elif rule_t is Rprop:                         return Traits(2, 0x010, 0x000)
    elif rule_t is ASGD:                          return Traits(1, 0x000, 0x000)
    elif rule_t is AdEMAMix:                      return Traits(3, 0x100, 0x300)
    elif rule_t is SignSGD:                       return Traits(0, 0x000, 0x000)
    elif rule_t is Signum:                        return Traits(1, 0x000, 0x000)
    else:
        return Traits(rule_without_a_line_in_traits(r), 0, 0)


cdef inline real prelude(const real* scalars, real clip_value, real* w, real g) noexcept nogil:
    """The gradient that the rule is to take; w is shrunk."""
    cdef real d = scalars[0] * g
    d = clip_value if d > clip_value else d         # a NaN stays one
    d = -clip_value if d < -clip_value else d
    d = d + scalars[1] * w[0] if scalars[1] != 0 else d
    w[0] = scalars[2] * w[0]
    return d


cdef inline void update(const rule_t* r, real* p, real g, real* a, real* b, real* c) noexcept nogil:
    cdef real d, e
    if rule_t is SGD:
        p[0] = p[0] - r.lr * g

    elif rule_t is Momentum:
        a[0] = r.mu * a[0] + r.gain * g
        p[0] = p[0] - r.lr * a[0]

    elif rule_t is Nesterov:
        a[0] = r.mu * a[0] + g
        p[0] = p[0] - r.lr * (g + r.mu * a[0])

    elif rule_t is NesterovClassical:
        a[0] = r.mu * a[0] - r.lr * g
        p[0] = p[0] + a[0]

    elif rule_t is Accumulate:
        p[0] = p[0] + r.weight * g

    elif rule_t is Lookahead:               # here g is the velocity and a keeps the parameter as it was
        a[0] = p[0]
        p[0] = p[0] + r.mu * g

    elif rule_t is Adagrad:
        a[0] = a[0] + g * g
        p[0] = p[0] - r.lr * g / (square_root(a[0]) + r.eps)

    elif rule_t is RowwiseAdagrad:          # the row's mean square has joined a before
        p[0] = p[0] - r.lr * g / (square_root(a[0]) + r.eps)

    elif rule_t is FTRL:
        d = b[0] + g * g
        e = square_root(d)
        a[0] = a[0] + g - (e - square_root(b[0])) * r.inv_lr * p[0]
        b[0] = d
        d = (a[0] - r.l1 if a[0] > 0 else a[0] + r.l1) / ((r.beta + e) * r.inv_lr + r.l2)
        e = 0 if a[0] == a[0] else a[0]     # of a NaN it is one
        p[0] = e - d if absolute(a[0]) > r.l1 else e

    elif (rule_t is RMSprop or rule_t is RMSpropMomentum
          or rule_t is RMSpropCentered or rule_t is RMSpropCenteredMomentum):
        a[0] = r.alpha * a[0] + r.alpha_c * (g * g)
        d = a[0]
        if rule_t is RMSpropCentered or rule_t is RMSpropCenteredMomentum:
            b[0] = b[0] + r.alpha_c * (g - b[0])
            d = d - b[0] * b[0]
            d = 0 if d < 0 else d           # a variance; rounding alone can take it below zero
        d = square_root(d) + r.eps
        if rule_t is RMSprop or rule_t is RMSpropCentered:
            p[0] = p[0] - r.lr * g / d
        elif rule_t is RMSpropMomentum:
            b[0] = r.mu * b[0] + g / d
            p[0] = p[0] - r.lr * b[0]
        else:
            c[0] = r.mu * c[0] + g / d
            p[0] = p[0] - r.lr * c[0]

    elif rule_t is Adam or rule_t is AdamAMSGrad:
        a[0] = a[0] + r.beta1_c * (g - a[0])
        b[0] = r.beta2 * b[0] + r.beta2_c * (g * g)
        d = b[0]
        if rule_t is AdamAMSGrad:
            c[0] = c[0] if c[0] > d else d
            d = c[0]
        p[0] = p[0] - r.lr * a[0] / (square_root(d) * r.root + r.eps)

    elif rule_t is Lion:
        d = r.beta1 * a[0] + r.beta1_c * g
        d = 1 if d > 0 else (-1 if d < 0 else d)        # the sign; of 0 it is 0, of NaN NaN
        p[0] = p[0] - r.lr * d
        a[0] = r.beta2 * a[0] + r.beta2_c * g

    elif rule_t is SignSGD:
        d = 1 if g > 0 else (-1 if g < 0 else g)        # as Lion's
        p[0] = p[0] - r.lr * d

    elif rule_t is Signum:
        a[0] = r.beta * a[0] + r.beta_c * g
        d = 1 if a[0] > 0 else (-1 if a[0] < 0 else a[0])
        p[0] = p[0] - r.lr * d

    elif rule_t is Adadelta:
        a[0] = r.rho * a[0] + r.rho_c * (g * g)
        d = square_root(b[0] + r.eps) / square_root(a[0] + r.eps) * g
        b[0] = r.rho * b[0] + r.rho_c * (d * d)
        p[0] = p[0] - r.lr * d

    elif rule_t is Adamax:
        a[0] = a[0] + r.beta1_c * (g - a[0])
        d = absolute(g) + r.eps
        e = r.beta2 * b[0]
        d = e if e > d else d               # a NaN of the gradient survives this,
        b[0] = d if e == e else e           # and one of the state this
        p[0] = p[0] - r.lr * a[0] / b[0]

    elif rule_t is NAdam:
        a[0] = a[0] + r.beta1_c * (g - a[0])
        b[0] = r.beta2 * b[0] + r.beta2_c * (g * g)
        p[0] = p[0] - (r.lr_g * g + r.lr_m * a[0]) / (square_root(b[0]) * r.root + r.eps)

    elif rule_t is RAdam:
        a[0] = a[0] + r.beta1_c * (g - a[0])
        b[0] = r.beta2 * b[0] + r.beta2_c * (g * g)
        d = square_root(b[0]) if r.rectified != 0 else 0      # not a product: v may be infinite
        p[0] = p[0] - r.lr * a[0] / (d + r.eps)

    elif rule_t is Rprop:                   # a NaN is neither sign: as in torch it moves nothing
        d = g * a[0]
        e = b[0] * r.etaplus if d > 0 else (b[0] * r.etaminus if d < 0 else b[0])
        e = r.least if e < r.least else e
        e = r.most if e > r.most else e
        d = 0 if d < 0 else g
        a[0] = d
        b[0] = e
        p[0] = p[0] - e if d > 0 else (p[0] + e if d < 0 else p[0])

    elif rule_t is ASGD:
        p[0] = r.shrink * p[0] - r.eta * g
        a[0] = a[0] + r.mu * (p[0] - a[0]) if r.mu != 1 else p[0]

    elif rule_t is AdEMAMix:
        a[0] = a[0] + r.beta1_c * (g - a[0])
        b[0] = b[0] + r.beta3_c * (g - b[0])
        c[0] = r.beta2 * c[0] + r.beta2_c * (g * g)
        p[0] = p[0] - (r.lr_fast * a[0] + r.lr_slow * b[0]) / (square_root(c[0]) * r.root + r.eps)


cdef inline int enlist_rules(Registry* to, dict known) except -1:
    enlist(to, known, <const SGD*> NULL, "SGD")
    enlist(to, known, <const Momentum*> NULL, "Momentum")
    enlist(to, known, <const Nesterov*> NULL, "Nesterov")
    enlist(to, known, <const NesterovClassical*> NULL, "NesterovClassical")
    enlist(to, known, <const Lookahead*> NULL, "Lookahead")
    enlist(to, known, <const Accumulate*> NULL, "Accumulate")
    enlist(to, known, <const Adagrad*> NULL, "Adagrad")
    enlist(to, known, <const RowwiseAdagrad*> NULL, "RowwiseAdagrad")
    enlist(to, known, <const FTRL*> NULL, "FTRL")
    enlist(to, known, <const RMSprop*> NULL, "RMSprop")
    enlist(to, known, <const RMSpropMomentum*> NULL, "RMSpropMomentum")
    enlist(to, known, <const RMSpropCentered*> NULL, "RMSpropCentered")
    enlist(to, known, <const RMSpropCenteredMomentum*> NULL, "RMSpropCenteredMomentum")
    enlist(to, known, <const Adam*> NULL, "Adam")
    enlist(to, known, <const AdamAMSGrad*> NULL, "AdamAMSGrad")
    enlist(to, known, <const Lion*> NULL, "Lion")
    enlist(to, known, <const Adadelta*> NULL, "Adadelta")
    enlist(to, known, <const Adamax*> NULL, "Adamax")
    enlist(to, known, <const NAdam*> NULL, "NAdam")
    enlist(to, known, <const RAdam*> NULL, "RAdam")
    enlist(to, known, <const Rprop*> NULL, "Rprop")
    enlist(to, known, <const ASGD*> NULL, "ASGD")
    enlist(to, known, <const AdEMAMix*> NULL, "AdEMAMix")
    enlist(to, known, <const SignSGD*> NULL, "SignSGD")
    enlist(to, known, <const Signum*> NULL, "Signum")
    return check_complete(to)
