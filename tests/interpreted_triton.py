"""Triton's interpreter, brought to do on a CPU what a compiled kernel does with the same source.

TRITON_INTERPRET=1 runs a kernel's operations in numpy, one program of the grid after another. It leaves out
four things that Liger's kernels need (Triton 3.7 to 3.9 do) and has no place to put them in: `complete`
writes over its attributes, which is for a process that does nothing else with Triton.
"""

import numpy as np
import torch
import triton.language as tl
from triton.language.extra import libdevice
from triton.runtime import interpreter

BUILDER = interpreter.interpreter_builder


def complete():
    """Before any kernel's module is imported: it takes functions of libdevice by name."""
    interpreter._implicit_cvt = with_floats(interpreter._implicit_cvt)
    BUILDER.cast_impl = with_rounding(BUILDER.cast_impl)
    BUILDER.binary_op = with_bf16(BUILDER.binary_op)
    libdevice.rsqrt, libdevice.tanh = rsqrt, tanh


def with_floats(converted):
    """A float among a kernel's arguments is fp32 there, which it says with `.to`; here it stays Python's."""

    def convert(argument):
        is_float = isinstance(argument, float)
        return interpreter.interpreter_semantic.to_tensor(argument) if is_float else converted(argument)

    return convert


def with_rounding(cast):
    """Fp32 becomes the nearest bf16, where the interpreter cuts its lower half off."""

    def rounded(x, to):
        if x.dtype.scalar != tl.float32 or to.scalar != tl.bfloat16:
            return cast(x, to)
        bits = torch.tensor(x.data).bfloat16().view(torch.int16).numpy().view(np.uint16)
        return interpreter.TensorHandle(bits, tl.bfloat16)

    return rounded


def with_bf16(compute):
    """numpy has no bf16, so the interpreter keeps its bits as integers, and would add and multiply those. Of
    one +, -, * or / in fp32, rounded, comes what the exact result rounds to."""

    def computed(left, right, operation):
        if left.dtype.scalar != tl.bfloat16:
            return compute(left, right, operation)
        wide = [BUILDER.cast_impl(x, tl.float32) for x in (left, right)]
        return BUILDER.cast_impl(compute(*wide, operation), tl.bfloat16)

    return computed


# A GPU's compiler links libdevice; without one its functions are names that return None.


def rsqrt(x):
    return tl.tensor(BUILDER.create_rsqrt(x.handle), x.type)


def tanh(x):
    return tl.tensor(BUILDER.unary_op(x.handle, np.tanh), x.type)
