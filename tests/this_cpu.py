"""This machine's CPU as variants are asked for it, and marks of tests that compile for it."""

import pytest
import torch

from model.capabilities import Capabilities, find_compiler, find_modules

# bf16 is tested wherever torch can calculate it at all, if only by way of fp32.
CPU = Capabilities(
    "cpu", "this CPU", torch.__version__, bf16=True, compiler=find_compiler(), modules=find_modules()
)

needs_compiler = pytest.mark.skipif(
    CPU.compiler is None, reason="torch.compile on a CPU needs a C++ compiler"
)
# torch 2.13 warns of its own scripted modules where the compiler is imported.
compiles = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
