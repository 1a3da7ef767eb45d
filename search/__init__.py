"""Search how to train a nanoGPT with the least energy, ranked by joules to target loss.

The map, in the order of a trial's life (core: values in, values out; shell: effects):

    own_packages.py    what is imported, whatever the current folder holds   shell
    __main__.py    Hydra entry: python -m search +study=NAME            shell
    leaving.py     signals, and the status that a program ends with    shell
    terminal.py    printing that never raises                           shell
    errors.py      what ends in one line, and exit statuses            core
    command_line.py    Hydra's options as they may be used here         core
    help.py        --help and --version                                 shell
    compose.py     command line -> checked configuration                shell
    complaints.py  Hydra's complaints -> one line that helps            shell
    study_files.py the files of a configuration, and what one lacks     shell
    config.py      the schema of a study                                core
    space.py       search space -> distributions -> a configuration     core
    reach.py       whether the text is long enough for the space        core
    space_listing.py   python -m search.space: what is offered here     shell
    canonical.py   one form for configurations that train the same      core
    proposal.py    what to try next, from the history                   core
    enqueued.py    what somebody asked for: can it be run               core
    history.py     the records as Optuna is shown them                  core
    study.py       ask, run, record, tell                               shell
    identity.py    what must not change when a study goes on            shell
    recovery.py    what makes records and storage agree: a plan         core
    mirror.py      Optuna's storage as a picture of the records         shell
    storage.py     how that storage is opened, its private corners      shell
    worker.py      the parent's handle on the process that trains       shell
    station.py     that process: one device, one meter, one data set    shell
    device.py      which device, its memory and its lock                shell
    meter/         what reads joules: python -m search.meter             shell
    temperature.py where a device's temperature must lie to begin       core
    run.py         ONE run: the meter around the training generator     shell
    cadence.py     when to evaluate next                                core
    energy.py      readings -> joules by phase, or why not              core
    stopping.py    go on, or end with an outcome                        core
    objective.py   what was spent -> values and the constraint          core
    trial.py       outcome, ledger, curve, crossing, record             core
    records.py     records.jsonl                                        shell
    files.py       files as a whole, and what is wrong with one         shell
    own_folder.py  temporary folders that go with their process       shell
    levers.py      what kind of lever a parameter is                    core
    unseen.py      validation tokens that no recipe can learn           core
    lookup.py      which runs look tokens up, and what may end which    core
    front.py       Pareto front and hypervolume                         core
    agreement.py   how well one meter stands in for another             core
    report/        the report: data and figures (core), page (shell)
    recipe.py      best.yaml                                            shell
    provenance.py  what a number needs beside it to be compared         shell
    progress.py    what a person sees while a study runs                shell
    train.py       one configuration alone: python -m search.train      shell
"""

from search.own_packages import begin

begin()
