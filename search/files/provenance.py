"""What a number needs beside it to be compared: code, software and data identity. No host or user names."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from model.data.corpus import Corpus, unseen_share
from model.data.ngram import NgramLoss
from search.files.version import AROUND, package_version, version

# What a commit must hold to be one of this product, and not of a repository that it was unpacked into.
_OURS = ("search/__init__.py", "search/files/provenance.py", "model/__init__.py")
_GIT_LIMIT_S = 10.0
# The code that trains and meters: where it changes, joules of before and after do not compare.
TRAINS = ("model", "search/energy", "search/meter", "search/run", "search/worker")


def code(around: Path = AROUND) -> dict[str, Any]:
    """Version, commit and whether files differ from it, of the code in `around`; and a digest of what trains.

    The commit is None unless `around` is the top of a git checkout whose commit holds this product: not for
    an installed package, nor for a copy that lies in somebody else's repository.
    """
    commit = _git(around, "rev-parse", "HEAD") if _is_ours(around) else None
    status = _git(around, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "version": version(around),
        "git_commit": commit,
        "git_dirty": None if status is None else bool(status),
        "git_diff_sha256": _sha256(_diff(around)) if status else None,
        "training_sha256": training_sha256(around),
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def training_sha256(around: Path = AROUND) -> str:
    """Of the names and contents of all Python files in `TRAINS`."""
    digest = hashlib.sha256()
    for folder in TRAINS:
        for path in sorted((around / folder).rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(around).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def uncommitted(around: Path = AROUND) -> str:
    """What differs from the commit, as `git diff` writes it; empty where nothing does or nobody knows."""
    return _diff(around) if _is_ours(around) else ""


def _diff(around: Path) -> str:
    found = _git(around, "diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD")
    return f"{found}\n" if found else ""


def _is_ours(around: Path) -> bool:
    top = _git(around, "rev-parse", "--show-toplevel")
    if not top or not os.path.exists(top) or not os.path.samefile(top, around):
        return False
    held = _git(around, "ls-tree", "--name-only", "HEAD", "--", *_OURS)
    return held is not None and set(held.splitlines()) == set(_OURS)


def software() -> dict[str, Any]:
    """Versions in this process. That of torch is added by the process that imports it."""
    packages = ("optuna", "numpy", "nvidia-ml-py", "hydra-core")
    return {"python": platform.python_version()} | {name: package_version(name) for name in packages}


def data(corpus: Corpus, ngram: NgramLoss, validation_tokens: int) -> dict[str, Any]:
    return {
        "dataset": corpus.name,
        "sha256": corpus.sha256,
        "tokenizer": corpus.tokenizer,
        "vocab_size": corpus.vocab_size,
        "train_tokens": len(corpus.train),
        "held_out": corpus.held_out.value,
        "validation_tokens": validation_tokens,
        "unseen_share": unseen_share(corpus, validation_tokens),
        "bytes_per_token": corpus.validation_bytes_per_token,
        "ngram_loss": ngram.loss,
        "ngram_order": ngram.order,
        "ngram_counted_tokens": ngram.counted_tokens,
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says in `folder`, None where it is missing, hangs, or refuses (as for another's checkout)."""
    # Variables such as GIT_DIR, which git itself sets for its hooks, point to some other repository.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    command = ["git", "--no-optional-locks", "-C", str(folder), "-c", "core.quotepath=false", *arguments]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_GIT_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip("\n")
