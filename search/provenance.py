"""What a number needs beside it to be compared: code, software and data identity. No host or user names."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from typing import Any

from model.data.corpus import Corpus
from model.data.ngram import NgramLoss
from search.paths import root


def code() -> dict[str, Any]:
    """Version, commit and whether files differ from it; None where this is no git checkout."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "version": _version("joulesearch"),
        "git_commit": commit,
        "git_dirty": None if status is None else bool(status),
    }


def software() -> dict[str, Any]:
    """Of this process. Torch is asked by the process that imports it."""
    packages = ("optuna", "numpy", "nvidia-ml-py", "hydra-core")
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


def data(corpus: Corpus, ngram: NgramLoss, validation_tokens: int) -> dict[str, Any]:
    return {
        "dataset": corpus.name,
        "sha256": corpus.sha256,
        "tokenizer": corpus.tokenizer,
        "vocab_size": corpus.vocab_size,
        "train_tokens": len(corpus.train),
        "validation_tokens": validation_tokens,
        "bytes_per_token": corpus.validation_bytes_per_token,
        "ngram_loss": ngram.loss,
        "ngram_order": ngram.order,
        "ngram_counted_tokens": ngram.counted_tokens,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root()), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
