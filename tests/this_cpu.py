"""This machine's CPU as variants are asked for it, and marks of tests that compile for it."""

from dataclasses import replace

import pytest
import torch

from model.capabilities import Capabilities, find_compiler, find_modules
from model.runnable import missing
from model.tables import TABLES

# bf16 is tested wherever torch can calculate it at all, if only by way of fp32.
CPU = Capabilities(
    "cpu", "this CPU", torch.__version__, bf16=True, compiler=find_compiler(), modules=find_modules()
)

needs_compiler = pytest.mark.skipif(
    CPU.compiler is None, reason="torch.compile on a CPU needs a C++ compiler"
)
# torch 2.13 warns of its own scripted modules where the compiler is imported.
compiles = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")


def needs_torch_for(path, name):
    """Skip where this torch is older than a row asks for, whatever else it lacks here."""
    modules = TABLES[path][name].modules
    if reason := missing(
        path, name, replace(CPU, device_type="cuda", compute_capability=999, modules=modules)
    ):
        pytest.skip(reason)
