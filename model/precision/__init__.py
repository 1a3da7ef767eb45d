"""Number formats of training, each an object of `model.precision.formats.Precision`.

Evaluation is in fp32 whatever the trial trains in: `evaluable` gives the model for it.
"""
