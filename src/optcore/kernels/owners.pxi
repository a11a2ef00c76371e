# Whose memory an array is: the chain of views down to the array that owns it, and weak references to arrays.
#
# Owns what plan.pxi asks of Python objects so as to notice that one is given other memory. Never touches an element.

cdef list family_of(object x):
    """x, and the arrays whose memory it is a view of, down to the one that owns it."""
    cdef list found = []
    cdef int depth
    for depth in range(64):             # an end, whatever `base` an object claims to have
        if x is None:
            break
        found.append(x)
        x = x.obj if isinstance(x, memoryview) else getattr(x, "base", None)
    return found


cdef object weak(object x):
    try:
        return PyWeakref_NewRef(x, None)
    except TypeError:                   # a memoryview or bytearray; these cannot be resized while exported
        return None
