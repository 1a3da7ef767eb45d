"""Optimizers and the kernels of their step.

An optimizer is a function (OptimizerConfig, nn.Module) -> OptimizerSet. A kernel is how its step runs over
the parameters; it changes the speed, and the result by rounding only. Muon loops over its matrices with
`forloop` and puts those of one shape into one matmul with any other; its AdamW part takes the kernel as is.
"""
