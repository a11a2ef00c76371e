# cython: cdivision=True
# The formulas: what one optimizer does to one element, in float32.
#
# Owns the arithmetic and its order, and nothing else: no loops, no memory, no threads, no settings.
# A rule is five things, all in this file:
#   a struct    its scalars, float32, in the order in which its row of _specs.py computes them; also the tag
#               by which Cython makes a version of every fused function for it
#   rule_t      the struct's name in this list
#   slots       how many state arrays it keeps, a constant to the C compiler
#   nonnegative which of them are never below 0 (means of squares), a bit for each
#   update      the formula; p is the parameter, g the gradient, a b c the state in the row's order
#
# Design:
#   a) cdivision is set here, not only in _kernels.pyx: an inline function is compiled under the directives of
#      its own file, and Cython's check for a zero divisor would keep the loop from being vectorised.
#   b) No literal 1.0 and no pow: a bare float literal is a double, and what depends only on the step is
#      computed once a step, in double, by _specs.py.
#   c) reference.py says the same operations in the same order; tests compare bits. To change one, change both.
#   d) A comparison picks so that a NaN survives it: `x if x > y else y` is y when either is a NaN.

from libc.math cimport fabsf, sqrtf


ctypedef struct SGD:
    float lr

ctypedef struct Momentum:
    float mu
    float gain
    float lr

ctypedef struct Nesterov:
    float mu
    float lr

ctypedef struct NesterovClassical:
    float mu
    float lr

ctypedef struct Lookahead:
    float mu

ctypedef struct Accumulate:
    float weight

ctypedef struct Adagrad:
    float lr
    float eps

ctypedef struct RMSprop:
    float alpha
    float alpha_c
    float lr
    float eps

ctypedef struct RMSpropMomentum:
    float alpha
    float alpha_c
    float lr
    float eps
    float mu

ctypedef struct RMSpropCentered:
    float alpha
    float alpha_c
    float lr
    float eps

ctypedef struct RMSpropCenteredMomentum:
    float alpha
    float alpha_c
    float lr
    float eps
    float mu

ctypedef struct Adam:
    float beta1_c
    float beta2
    float beta2_c
    float lr
    float root
    float eps

ctypedef struct AdamAMSGrad:
    float beta1_c
    float beta2
    float beta2_c
    float lr
    float root
    float eps

ctypedef struct Lion:
    float beta1
    float beta1_c
    float beta2
    float beta2_c
    float lr

ctypedef struct Adadelta:
    float rho
    float rho_c
    float eps
    float lr

ctypedef struct Adamax:
    float beta1_c
    float beta2
    float eps
    float lr

ctypedef struct NAdam:
    float beta1_c
    float beta2
    float beta2_c
    float lr_g
    float lr_m
    float root
    float eps

ctypedef struct RAdam:
    float beta1_c
    float beta2
    float beta2_c
    float lr
    float rectified         # 1, or 0 in the first steps, where the divisor is `eps` alone
    float eps

ctypedef struct Rprop:
    float etaminus
    float etaplus
    float least
    float most

ctypedef struct ASGD:
    float shrink
    float eta
    float mu

ctypedef struct AdEMAMix:
    float beta1_c
    float beta3_c
    float beta2
    float beta2_c
    float lr_fast
    float lr_slow
    float root
    float eps


ctypedef fused rule_t:
    SGD
    Momentum
    Nesterov
    NesterovClassical
    Lookahead
    Accumulate
    Adagrad
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


cdef inline int slots(const rule_t* r) noexcept nogil:
    if rule_t is SGD or rule_t is Accumulate:
        return 0
    elif (rule_t is Momentum or rule_t is Nesterov or rule_t is NesterovClassical or rule_t is Lookahead
          or rule_t is Adagrad or rule_t is RMSprop or rule_t is Lion or rule_t is ASGD):
        return 1
    elif (rule_t is RMSpropMomentum or rule_t is RMSpropCentered or rule_t is Adam or rule_t is Adadelta
          or rule_t is Adamax or rule_t is NAdam or rule_t is RAdam or rule_t is Rprop):
        return 2
    else:
        return 3


cdef inline int nonnegative(const rule_t* r) noexcept nogil:
    if (rule_t is Adagrad or rule_t is RMSprop or rule_t is RMSpropMomentum or rule_t is RMSpropCentered
            or rule_t is RMSpropCenteredMomentum):
        return 1
    elif rule_t is Adam or rule_t is NAdam or rule_t is RAdam or rule_t is Adamax or rule_t is Rprop:
        return 2
    elif rule_t is Adadelta:
        return 3
    elif rule_t is AdEMAMix:
        return 4
    elif rule_t is AdamAMSGrad:
        return 6
    else:
        return 0


cdef inline void update(const rule_t* r, float* p, float g, float* a, float* b, float* c) noexcept nogil:
    cdef float d, e
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
        p[0] = p[0] - r.lr * g / (sqrtf(a[0]) + r.eps)

    elif (rule_t is RMSprop or rule_t is RMSpropMomentum
          or rule_t is RMSpropCentered or rule_t is RMSpropCenteredMomentum):
        a[0] = r.alpha * a[0] + r.alpha_c * (g * g)
        d = a[0]
        if rule_t is RMSpropCentered or rule_t is RMSpropCenteredMomentum:
            b[0] = b[0] + r.alpha_c * (g - b[0])
            d = d - b[0] * b[0]
            d = 0 if d < 0 else d           # a variance; rounding alone can take it below zero
        d = sqrtf(d) + r.eps
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
        p[0] = p[0] - r.lr * a[0] / (sqrtf(d) * r.root + r.eps)

    elif rule_t is Lion:
        d = r.beta1 * a[0] + r.beta1_c * g
        d = 1 if d > 0 else (-1 if d < 0 else d)        # the sign; of 0 it is 0, of NaN NaN
        p[0] = p[0] - r.lr * d
        a[0] = r.beta2 * a[0] + r.beta2_c * g

    elif rule_t is Adadelta:
        a[0] = r.rho * a[0] + r.rho_c * (g * g)
        d = sqrtf(b[0] + r.eps) / sqrtf(a[0] + r.eps) * g
        b[0] = r.rho * b[0] + r.rho_c * (d * d)
        p[0] = p[0] - r.lr * d

    elif rule_t is Adamax:
        a[0] = a[0] + r.beta1_c * (g - a[0])
        d = fabsf(g) + r.eps
        e = r.beta2 * b[0]
        d = e if e > d else d               # a NaN of the gradient survives this,
        b[0] = d if e == e else e           # and one of the state this
        p[0] = p[0] - r.lr * a[0] / b[0]

    elif rule_t is NAdam:
        a[0] = a[0] + r.beta1_c * (g - a[0])
        b[0] = r.beta2 * b[0] + r.beta2_c * (g * g)
        p[0] = p[0] - (r.lr_g * g + r.lr_m * a[0]) / (sqrtf(b[0]) * r.root + r.eps)

    elif rule_t is RAdam:
        a[0] = a[0] + r.beta1_c * (g - a[0])
        b[0] = r.beta2 * b[0] + r.beta2_c * (g * g)
        d = sqrtf(b[0]) if r.rectified != 0 else 0      # not a product: v may be infinite
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
        p[0] = p[0] - (r.lr_fast * a[0] + r.lr_slow * b[0]) / (sqrtf(c[0]) * r.root + r.eps)
