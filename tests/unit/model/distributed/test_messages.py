"""A corpus arrives at a rank as it was, and the tokens that lie in files stay there."""

import pickle
from dataclasses import replace

import numpy as np
from small_run import CORPUS, small_run

from model.distributed.messages import Job, Mapped


def arrived(corpus):
    job = Job.of(
        corpus,
        config=small_run(),
        device_type="cpu",
        threads=1,
        target_loss=None,
        compile_backend="inductor",
        score_test=False,
    )
    sent = pickle.dumps(job)
    return pickle.loads(sent), len(sent)


def assert_same(one, other):
    for part in ("train", "validation", "test"):
        assert getattr(one, part).dtype == np.dtype("<u2")
        assert np.array_equal(getattr(one, part), getattr(other, part))
    assert replace(one, train=0, validation=0, test=0).__dict__ == (
        replace(other, train=0, validation=0, test=0).__dict__
    )


def test_tokens_in_memory_are_sent():
    job, _ = arrived(CORPUS)
    assert_same(job.whole_corpus(), CORPUS)


def test_tokens_in_a_file_are_mapped_where_they_arrive(tmp_path):
    np.arange(30_000, dtype="<u2").tofile(tmp_path / "tokens.bin")
    mapped = np.memmap(tmp_path / "tokens.bin", "<u2", "r", offset=20, shape=(29_000,))
    corpus = replace(
        CORPUS, train=mapped[100:20_000], validation=np.asarray(mapped[20_000:]), test=mapped[:0]
    )
    job, size_bytes = arrived(corpus)
    assert job.parts["train"] == Mapped(str(tmp_path / "tokens.bin"), 20 + 200, 19_900, "<u2")
    assert isinstance(job.parts["validation"], Mapped)
    assert size_bytes < 10_000
    assert_same(job.whole_corpus(), corpus)
