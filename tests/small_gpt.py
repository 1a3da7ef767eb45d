"""A small network, an optimizer of it, and its weights after some steps on random tokens."""

import torch

from model.config import ModelConfig, OptimizerConfig
from model.gpt import GPT
from model.tables import OPTIMIZERS

SMALL = {"n_layer": 2, "n_embd": 32, "n_head": 2, "block_size": 16}
VOCAB = 33


def small_gpt(**changes):
    torch.manual_seed(0)
    return GPT(ModelConfig(**{**SMALL, **changes}), VOCAB)


def optimizer_of(model, **changes):
    config = OptimizerConfig(**changes)
    return OPTIMIZERS[config.name].load()(config, model)


def give_gradients(model, seed):
    """The gradients of random tokens; the same for the same seed and weights."""
    tokens = torch.randint(VOCAB, (4, 17), generator=torch.Generator().manual_seed(seed))
    tokens = tokens.to(next(model.parameters()).device)
    model.zero_grad(set_to_none=True)
    torch.autograd.backward(model.loss(tokens[:, :-1], tokens[:, 1:]))


def weights_of(model):
    return [p.detach().clone() for p in model.parameters()]


RATES = [0.01 * (1 + step % 3) for step in range(20)]


def weights_after(steps=20, device="cpu", **changes):
    """On the CPU, wherever they were trained."""
    model = small_gpt(**changes.pop("model", {})).to(device)
    share = changes.pop("momentum_share", None)
    optimizer = optimizer_of(model, **changes)
    for step in range(steps):
        give_gradients(model, seed=step)
        optimizer.set_lr(1e-3 * (1 + step % 3))
        if share is not None:
            optimizer.set_momentum(share)
        optimizer.step()
    return weights_of(model.cpu())


def relative_difference(ours, plain):
    return max(float((a - b).norm() / b.norm()) for a, b in zip(ours, plain, strict=True) if b.norm() > 0)
