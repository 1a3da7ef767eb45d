"""The claim of a study, as values: how long a recipe must be, which candidates go on, and the verdict.

settings    what a person can set of it
length      one configuration at another number of steps
fit         the smallest number of steps at which a recipe reaches its target on nearly every seed
rounds      which runs stand beside each other, in which order, and which attempt counts
intervals   the intervals and tests, and how their error is spent over several looks
verdict     SAVES, TIE, COSTS or UNPROVEN, clause by clause
race        which candidates go on, and whether more seeds are needed
levers      groups of settings that go back to the baseline's together
ablation    what each group of the one that saves adds to it, and what only all of them together do
"""
