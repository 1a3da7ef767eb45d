"""A nanoGPT in plain PyTorch: it knows no joules, no Optuna, no Hydra and no report.

The map, in the order of a run's life:

    config.py     what a run is made of, as dataclasses that check themselves (no torch)
    variants.py   how a variant is named, found and known to run on a device (no torch)
    data/         text -> tokens; how well n-grams predict it
    gpt.py        the network; attention/ mlp/ norm/ loss/ hold its variants, a file each
    optim/        optimizers and their step kernels
    schedule.py   learning rate as a function of the step
    evaluate.py   validation loss, the same for every configuration
    train.py      training as a generator of progress, driven from outside
"""
