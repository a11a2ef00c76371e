# Whether a step of torch tensors finds what the last one found. A part of _kernels.pyx, which includes it.
#
# Owns the comparison of objects, done in one call since Python's loops over 150 tensors cost more than the step; never
# looks into a tensor's memory.

def found(list groups, list params, dicts, list values, plain, parameter):
    """What a step of torch tensors finds: (gradients, how many are not None, whether each is plain), or None if it is
    not what it found before.

    groups: dicts whose "params", one after another, must be just the objects `params`. dicts: of state, whose values
    must be just the objects `values`. A gradient is plain that is of one of the two types and no subclass, and has no
    negative bit: its memory then holds its values.
    """
    cdef Py_ssize_t k = 0, given = 0
    cdef bint simple = True
    cdef list grads = []
    for group in groups:
        for p in group["params"]:
            if k == len(params) or params[k] is not p:
                return None
            k += 1
    if k != len(params):
        return None
    k = 0
    for entry in dicts:
        for x in (<dict?> entry).values():
            if k == len(values) or values[k] is not x:
                return None
            k += 1
    if k != len(values):
        return None
    for p in params:
        g = p.grad
        grads.append(g)
        if g is not None:
            given += 1
            simple = simple and (type(g) is plain or type(g) is parameter) and not g.is_neg()
    return grads, given, simple
