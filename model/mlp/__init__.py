"""MLP blocks, a file each. A block is a module built from (ModelConfig) with input and output (B, T, C).

Between them it is `mlp_width` wide; its way in is called `c_fc`, its way back `c_proj`. A row's `reference`
is what happens between the two.
"""
