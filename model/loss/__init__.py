"""Training losses: a file each, a row here. Each is (logits (B, T, V), targets (B, T)) -> mean nats per
token."""

from model.variants import Variant

LOSSES = {"plain": Variant("model.loss.plain:cross_entropy", "F.cross_entropy over all positions: nanoGPT's")}
