"""One command for a machine that is rented by the minute (`python -m search.exam`, `make exam`): is it what
it should be, does its meter tell the truth, which kernels are cheap on it, and a whole study.

    __main__.py      the command
    settings.py      what a person can set: exam.KEY=VALUE
    plan.py          the steps, what remains, and what a deadline demands (pure)
    cases.py         which kernels are measured, in which order (pure)
    step_cost.py     joules and seconds a step, from readings (pure)
    forms.py         exam.json and variants.json, as values (pure)
    folder.py        the folder that holds all of it
    loop.py          from the first step to the summary
    commands.py      what each step runs
    child.py         a step's process: followed, and ended in time
    environment.py   step 1, in a process of its own
    kernel_process.py    a process that takes one kernel after another
    measure.py, measuring.py     step 4, in a process of its own
    profile_kernels.py, profiling.py, peak.py    step 5, in a process of its own
    kernel_parts.py  what a kernel's name says it does, and what share of a step it takes (pure)
    profiles.py      profiles.json and its table, as values (pure)
    roofline_fit.py  the modelled meter's coefficients, fitted to the table of kernels (pure)
    pack.py          carries the folder to another machine
    summary.py       what it prints: the plan, and the end
"""
