"""Optimizers and the kernels of their step: a file each, a row here.

An optimizer is a function (OptimizerConfig, nn.Module) -> torch.optim.Optimizer. A kernel is how its step
runs over the parameters; it changes the speed, and the result by rounding only.
"""

from model.variants import Variant

OPTIMIZERS = {"adamw": Variant("model.optim.adamw:adamw", "AdamW, weight decay on matrices only: nanoGPT's")}

KERNELS = {
    "forloop": Variant("model.optim.adamw:FORLOOP", "one parameter after another: torch's default on a CPU"),
    "foreach": Variant("model.optim.adamw:FOREACH", "multi-tensor operations: torch's default on CUDA"),
    "fused": Variant("model.optim.adamw:FUSED", "one kernel for everything: nanoGPT's choice on CUDA"),
}
