"""Optimizers and the kernels of their step: a file each, a row here.

An optimizer is a function (OptimizerConfig, nn.Module) -> OptimizerSet. A kernel is how its step runs over
the parameters; it changes the speed, and the result by rounding only. Muon loops over its matrices with
`forloop` and puts those of one shape into one matmul with any other; its AdamW part takes the kernel as is.
"""

from model.variants import Variant

OPTIMIZERS = {
    "adamw": Variant("model.optim.adamw:adamw", "AdamW, weight decay on matrices only: nanoGPT's"),
    "muon": Variant("model.optim.muon:muon", "Muon for hidden matrices, AdamW for everything else"),
}

KERNELS = {
    "forloop": Variant("model.optim.adamw:FORLOOP", "one parameter after another: torch's default on a CPU"),
    "foreach": Variant("model.optim.adamw:FOREACH", "multi-tensor operations: torch's default on CUDA"),
    "fused": Variant("model.optim.adamw:FUSED", "one kernel for everything: nanoGPT's choice on CUDA"),
    "compiled": Variant("model.optim.adamw:COMPILED", "torch.compile of the step; on a CPU needs a compiler"),
}
