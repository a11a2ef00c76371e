"""Objects that lend memory in one way only, as arrays of other libraries do."""
from __future__ import annotations

import ctypes

import numpy as np


class OnlyInterface:
    """Offers nothing but __array_interface__."""

    def __init__(self, inner):
        self.inner = inner
        self.__array_interface__ = inner.__array_interface__


class OnlyDLPack:
    """Offers nothing but DLPack."""

    def __init__(self, inner):
        self.inner = inner

    def __dlpack__(self, **options):
        return self.inner.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.inner.__dlpack_device__()


class Tensor(ctypes.Structure):
    """DLManagedTensor of DLPack's dlpack.h, with the DLTensor that it begins with."""

    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
                ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class BfloatByDLPack:
    """Zeros in bfloat16, lent by DLPack, which has a number for that type where NumPy has none."""

    def __init__(self, like):
        self.memory = np.zeros(like.shape, np.uint16)
        self.shape = (ctypes.c_int64 * like.ndim)(*like.shape)
        self.tensor = Tensor(self.memory.ctypes.data, 1, 0, like.ndim, 4, 16, 1, self.shape, None, 0, None, None)

    def __dlpack__(self, **_):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        return new(ctypes.addressof(self.tensor), b"dltensor", None)

    def __dlpack_device__(self):
        return 1, 0


class Gradient:
    """Memory that runs `act` whenever it is asked for: by the buffer protocol from Python 3.12 on, else as an array."""

    def __init__(self, array, act):
        self.array, self.act = array, act

    def __buffer__(self, flags):
        self.act()
        return memoryview(self.array)

    @property
    def __array_interface__(self):
        self.act()
        return self.array.__array_interface__
