"""Search how to train a nanoGPT with the least energy, ranked by joules to target loss.

A trial's way through the rooms:

    __main__   python -m search +study=NAME
    config     the command line becomes a checked configuration
    space      the search space: what may vary, as far as this device can run it     pure
    study      the loop: what runs next, what is kept, what a later start puts right
    sampling   which configuration to try next, from the finished trials             pure
    worker     the process that trains, and the parent's handle on it
    run        one run: the meters around the training generator, and when it ends
    meter      what reads joules
    energy     from readings to joules by phase, or why there are none               pure
    record     what is kept of a run, as frozen values                               pure
    files      records.jsonl, and every other file of ours
    confirm    fitting lengths, racing on fresh seeds, the verdict                   pure
    report     what the study found: values, sentences, figures, the page
    launch     the same study in jobs of a cluster
    train      one configuration alone
    sample     what a trained model writes
    console    how every program prints, is interrupted and ends
    errors     errors of one line, and exit statuses

Pure: values in, values out, no files, devices or clocks. Which room may import which stands in
`pyproject.toml`. The README lists the files of each room.
"""

from search.own_packages import begin

begin()
