"""Starting a study on other machines: `launcher=slurm` submits jobs that join it by its storage."""
