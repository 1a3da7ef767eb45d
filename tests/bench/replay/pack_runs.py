"""Make the committed file of recorded runs: `PYTHONPATH=tests/bench python -m replay.pack_runs STUDY`."""

from __future__ import annotations

import json
import sys

import pandas as pd
from replay.problems import HERE
from replay.record_runs import POINTS, lines_of

from search.files.paths import cache_dir


def main(study: str) -> None:
    """Runs that diverged have fewer evaluations, and are left out; how many is said."""
    lines = lines_of(sorted((cache_dir() / "replay").glob(f"{study}-*.jsonl")))
    rows = [
        {name: line[name] for name in ("index", "seed", "steps", "parameters", "evaluated_tokens")}
        | {name: line[name] for name in ("step", "loss", "loss_stderr")}
        | {"params": json.dumps(line["params"], sort_keys=True)}
        | {f"{phase}_j": line["phases_j"][phase] for phase in ("train", "eval", "setup")}
        | {"train_s": line["phases_s"]["train"]}
        for line in sorted(lines, key=lambda line: (line["index"], line["seed"]))
        if line["index"] < 0 or len(line["loss"]) >= min(POINTS, line["steps"])
    ]
    pd.DataFrame(rows).to_parquet(HERE / f"{study}.parquet", compression="zstd")
    print(f"{len(rows)} of {len(lines)} runs kept")


if __name__ == "__main__":
    main(sys.argv[1])
