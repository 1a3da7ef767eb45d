"""Several processes, or GPUs, that train one model together, by torch's DistributedDataParallel.

together.py   the generator that a driver follows, as it follows `model.train.train`
ranks.py      the processes under torch's elastic launcher, and a connection to each
loopback.py   where they meet
rank.py       what each of them runs
member.py     one process' part: the training loop on its share, in step with the others
messages.py   what crosses the connections
parent.py     nobody outlives the process that started it
"""
