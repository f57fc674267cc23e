"""Memory of the `cpu` back end by address, for kernels of many small loops.

An array that goes from one compiled function to another is counted, even where nobody
owns it; an address is a number. Loops see it as an array again, without an owner.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

ENTRY_BYTES = 4
"""Every field of the kernels has entries of 4 bytes."""
LANES = 16
"""Entries of a cache line."""
UNBOUNDED = 2**40


@intrinsic
def to_pointer(_, address):
    """Turn an address into a pointer."""

    def generate(context, builder, signature, arguments):
        kind = context.get_value_type(signature.return_type)
        return builder.inttoptr(arguments[0], kind)

    return types.voidptr(address), generate


@intrinsic
def _prefetch(_, address):
    """Ask for the cache line at an address ahead of its use."""

    def generate(context, builder, signature, arguments):
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        name = "llvm.prefetch.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        pointer = builder.inttoptr(arguments[0], byte)
        # For reading, into the second-level cache, and it is data.
        builder.call(function, [pointer, word(0), word(2), word(1)])
        return context.get_dummy_value()

    return types.void(address), generate


@njit(cache=True)
def prefetch_entries(field, start, count):
    """Ask for `count` entries of a field ahead of their use."""
    first = field + start * ENTRY_BYTES
    for line in range(first, first + count * ENTRY_BYTES, LANES * ENTRY_BYTES):
        _prefetch(line)


@njit(inline="always")
def view_floats(address):
    """See memory as float32."""
    return carray(to_pointer(address), (UNBOUNDED,), np.float32)


@njit(inline="always")
def view_words(address):
    """See memory as uint32."""
    return carray(to_pointer(address), (UNBOUNDED,), np.uint32)


@njit(inline="always")
def view_integers(address):
    """See memory as int32."""
    return carray(to_pointer(address), (UNBOUNDED,), np.int32)
