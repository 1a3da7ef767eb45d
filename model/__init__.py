"""A nanoGPT in plain PyTorch: it knows no joules, no Optuna, no Hydra and no report.

The map, in the order of a run's life:

    config.py     what a run is made of, as dataclasses that check themselves (no torch)
    errors.py     what data raises for a person (no torch)
    variants.py   how a variant is named, found and known to run on a device (no torch)
    data/         text -> tokens; how well n-grams predict it
    gpt.py        the network; attention/ mlp/ norm/ embed/ loss/ hold its variants, a file each
    precision/    what weights are stored in and what matmuls cast to
    optim/        optimizers and their step kernels
    schedule.py   learning rate, batch size and context as functions of the step
    work.py       operations and bytes of a step, on paper (no torch)
    evaluate.py   validation loss, the same for every configuration
    train.py      training as a generator of progress, driven from outside
"""
