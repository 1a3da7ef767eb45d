"""Normalisations, a file each. Each is a function (ModelConfig) -> module over the last dimension.

`model.norm_eps` is always passed on: torch's own default depends on the number format. A row's `reference` is
a function of x, eps and the module's parameters by name.
"""
