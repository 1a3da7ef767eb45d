"""What a run computes and moves: arithmetic operations by precision, and bytes between memory and arithmetic.

Pure arithmetic on a configuration, without torch: a first-order model.

    matmuls      2 m k n operations at the precision that they run in; a backward pass is two more. Attention
                 is the full square of its scores, except where a fused kernel skips tiles (`visible_share`).
    elementwise  norms, activations, softmax, loss, residuals, optimizer: operations per element by the tables
                 below, all at fp32, in which they are done whatever the tensors hold; an exp, erf, root or
                 division is one operation. They are 1.7 % of the operations of nanoGPT's CPU recipe.
    bytes        every eager kernel reads its operands from memory and writes its results.

What is checked against torch on a CPU: the matmuls' operations exactly, for every variant whose kernels torch
counts; bytes within 1 % for attention (2 % with weights in bf16, 4 % within a window) and 2 % for Muon,
within 5 % for each other variant that runs on a CPU, where what it adds to the plain model is within a
quarter.
What runs on a GPU alone is counted on paper, and unchecked: Liger's kernels, `sdpa_efficient`, `sdpa_cudnn`,
`flex`, tf32 (fp32's bytes), fp8 (bf16's bytes). So are the bytes of `linear_cross_entropy`,
which torch shows as one kernel: they are those of `chunked` in parts of its own size.

Left out, and how large it is:

    caches       a tensor that stays in a cache between two kernels is counted all the same. For a model and a
                 batch that fit in the last-level cache next to none of these bytes reach the memory chips.
    fusing       torch.compile changes nothing here. Inductor's own count (2 layers, 64 channels, 4 x 48
                 tokens, CPU) lay from 4 % above to 11 % below that of the eager kernels.
    the rest     data, masks, indices, random numbers, scalars, row statistics: 1 % of the bytes (same shape).
                 With `qk_norm` the row statistics are more: about 0.6 of a pass over heads of 32 channels.
    autocast     as on a CPU. CUDA's also casts the scores of `manual` to fp32 and back around the softmax.
    RMS norms    as on a CPU, kernel after kernel. CUDA's single kernel moves 5 elements each way
                 together, these 12, or 20 with a weight.
    fp8          finding each tensor's largest value, rounding to 8 bits, transposing.
    bf16_weights the copy in fp32 that an evaluation makes; the model is set up as if in fp32.
    time         waiting, launching kernels, Python, and memory that stands still cost nothing here.

    units.py       operations, bytes, kernels per element
    kernels.py     what each variant of the network costs: a row each
    network.py     one pass through the network
    optimizers.py  the optimizers' steps
    steps.py       a training step, an evaluation, the setup
    generating.py  generating text, with what is kept between its tokens

A new variant needs a row in the table of its part (`kernels`, `optimizers`), or a branch beside it. One
without raises `UncountedWork`: work that is unknown is never zero. A new precision needs nothing here.
"""

from model.work.generating import generation_work
from model.work.network import parameter_count
from model.work.steps import average_work, evaluation_work, plateau_steps, setup_work, step_work
from model.work.units import UncountedWork, Work

__all__ = [
    "UncountedWork",
    "Work",
    "average_work",
    "evaluation_work",
    "generation_work",
    "parameter_count",
    "plateau_steps",
    "setup_work",
    "step_work",
]
