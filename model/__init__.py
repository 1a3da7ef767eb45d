"""A nanoGPT in plain PyTorch: it knows no joules, no Optuna, no Hydra and no report.

The map, in the order of a run's life:

    variant.py    a row of a table: where a variant is, what it needs, what it cannot do (no torch)
    tables.py     every variant that there is, by configuration path (no torch)
    metric.py     what an evaluation measures: loss or accuracy (no torch)
    config.py     what a run is made of, as dataclasses that check themselves (no torch)
    errors.py     what data raises for a person (no torch)
    capabilities.py  what a device and its software can do (no torch)
    runnable.py   what cannot run, told from the rows' limits (no torch)
    fits.py       whether a text is long enough for a run (no torch)
    data/         text -> tokens; how well n-grams predict it
    gpt.py        the network; attention/ mlp/ norm/ embed/ loss/ hold its variants, a file each
    precision/    what weights are stored in and what matmuls cast to
    optim/        optimizers and their step kernels
    averaging.py  the mean of the weights over steps
    compiling.py  torch.compile of a training step
    schedule.py   learning rate, momentum, batch size, context and averaging as functions of the step
    work/         operations and bytes of a step, on paper (no torch)
    evaluate.py   validation loss or accuracy, the same for every configuration
    progress.py   what training yields (no torch)
    share.py      what each of several processes takes of a step (no torch)
    team.py       what the training loop asks of the other processes
    train.py      training as a generator of progress, driven from outside
    distributed/  the same by several processes or GPUs
    weights.py    a trained model as a file, and back
    sample.py     a trained model continues a text
"""
