import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.corpus import Corpus
from model.data.loader import ResidentBatches, StreamedBatches, Windows, open_batches
from model.share import WHOLE, Share

CPU = torch.device("cpu")
sizes = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=12)


def corpus(tokens, record_tokens=1):
    return Corpus(
        "counting", "", "", ("",), np.asarray(tokens, dtype=np.uint16), np.arange(1), 1.0, record_tokens
    )


def resident(it, seed=7, share=WHOLE):
    return open_batches(it, seed, CPU, share=share)


def streamed(it, seed=7, share=WHOLE):
    return open_batches(it, seed, CPU, resident_limit_bytes=0, share=share)


def as_before(tokens, seed, batch_size, block_size, n):
    """How batches were drawn before there was a loader: recorded runs have to repeat."""
    tokens = torch.from_numpy(tokens.astype("int32"))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        starts = torch.randint(len(tokens) - block_size, (batch_size, 1), generator=generator)
        window = tokens[starts + torch.arange(block_size + 1)].long()
        yield window[:, :-1], window[:, 1:]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype == torch.int64
        assert torch.equal(a, b)


@pytest.mark.parametrize("opened", [resident, streamed])
@settings(max_examples=25)
@given(
    n=st.integers(2, 300),
    seed=st.integers(0, 2**40),
    batch_size=st.integers(1, 5),
    block_size=st.integers(1, 40),
)
def test_batches_are_those_that_were_drawn_before_there_was_a_loader(opened, n, seed, batch_size, block_size):
    tokens = np.random.default_rng(0).integers(0, 2**16, n + block_size).astype(np.uint16)
    batches = opened(corpus(tokens), seed)
    try:
        for expected in as_before(tokens, seed, batch_size, block_size, 8):
            assert_same(batches.next(batch_size, block_size), expected)
    finally:
        batches.close()


@settings(max_examples=25)
@given(sizes=sizes, record_tokens=st.sampled_from([1, 3]))
def test_streamed_batches_are_the_resident_ones_however_sizes_change(sizes, record_tokens):
    it = corpus(np.arange(100), record_tokens)
    here, there = resident(it), streamed(it)
    try:
        for batch_size, block_size in sizes:
            assert_same(there.next(batch_size, block_size), here.next(batch_size, block_size))
    finally:
        there.close()


@settings(max_examples=50)
@given(sizes=sizes, ahead=st.integers(2, 6))
def test_how_many_batches_are_drawn_ahead_changes_nothing(sizes, ahead):
    one_by_one, several = (
        ResidentBatches(np.arange(100), Windows(100, 1, torch.Generator().manual_seed(7)), CPU, at_once)
        for at_once in (1, ahead)
    )
    for batch_size, block_size in sizes:
        for _ in range(2):
            assert_same(several.next(batch_size, block_size), one_by_one.next(batch_size, block_size))


def test_a_mapped_file_gives_the_same_batches(tmp_path):
    tokens = np.arange(10_000, dtype="<u2")
    tokens.tofile(tmp_path / "train.bin")
    mapped = streamed(corpus(np.memmap(tmp_path / "train.bin", dtype="<u2", mode="r")))
    for expected in as_before(tokens, 7, 4, 64, 20):
        assert_same(mapped.next(4, 64), expected)
    mapped.close()


@pytest.mark.parametrize("opened", [resident, streamed])
@settings(max_examples=25)
@given(processes=st.integers(1, 4), by_micro_batch=st.booleans(), sizes=sizes)
def test_shares_are_together_what_one_process_draws(opened, processes, by_micro_batch, sizes):
    it = corpus(np.arange(100))
    alone = opened(it)
    shares = [opened(it, share=Share(rank, processes, by_micro_batch)) for rank in range(processes)]
    try:
        for batch_size, block_size in sizes:
            taken = [batches.next(batch_size, block_size) for batches in shares]
            if by_micro_batch:
                for one in taken:
                    assert_same(one, alone.next(batch_size, block_size))
            else:
                together = [torch.cat(halves) for halves in zip(*taken, strict=True)]
                assert_same(together, alone.next(processes * batch_size, block_size))
    finally:
        for batches in (alone, *shares):
            batches.close()


def streamed_from(tokens, seed=7):
    return StreamedBatches(tokens, Windows(len(tokens), 1, torch.Generator().manual_seed(seed)), CPU)


class Slow(np.ndarray):
    """Tokens that take their time, another one each time."""

    def __getitem__(self, key):
        time.sleep(0.001 * (key.start % 7 if isinstance(key, slice) else 0))
        return np.asarray(super().__getitem__(key))


def test_the_timing_of_the_thread_changes_nothing():
    tokens = np.arange(1000, dtype=np.uint16)
    batches = streamed_from(tokens.view(Slow))
    for n, expected in enumerate(as_before(tokens, 7, 3, 5, 30)):
        if n % 3 == 0:
            time.sleep(0.004)
        assert_same(batches.next(3, 5), expected)
    batches.close()


@pytest.mark.parametrize("opened", [resident, streamed])
def test_targets_are_the_inputs_one_token_later(opened):
    batches = opened(corpus(np.arange(50)))
    x, y = batches.next(8, 12)
    batches.close()
    assert x.shape == y.shape == (8, 12)
    assert torch.equal(x + 1, y)


@pytest.mark.parametrize("opened", [resident, streamed])
@pytest.mark.parametrize("block_size", [1, 5, 7, 10, 29])
def test_windows_begin_where_records_do_and_every_one_that_fits_is_drawn(opened, block_size):
    batches = opened(corpus(np.arange(31), record_tokens=5))
    starts = {int(start) for _ in range(40) for start in batches.next(8, block_size)[0][:, 0]}
    batches.close()
    assert starts == set(range(0, 31 - block_size, 5))


@pytest.mark.parametrize("opened", [resident, streamed])
def test_an_example_has_the_shape_is_always_the_same_and_leaves_the_sequence_alone(opened):
    it = corpus(np.arange(100))
    untouched, batches = opened(it), opened(it)
    first = batches.example(3, 7)
    assert first[0].shape == (3, 7)
    for _ in range(4):
        assert_same(batches.next(2, 5), untouched.next(2, 5))
        assert_same(batches.example(3, 7), first)
    untouched.close()
    batches.close()


def test_examples_are_the_same_wherever_the_data_lie():
    here, there = resident(corpus(np.arange(100)), 1), streamed(corpus(np.arange(100)), 2)
    assert_same(here.example(3, 7), there.example(3, 7))
    there.close()


@pytest.mark.parametrize("opened", [resident, streamed])
def test_a_window_longer_than_the_training_part_is_refused(opened):
    batches = opened(corpus(np.arange(10)))
    assert batches.next(1, 9)[0].tolist() == [list(range(9))]
    with pytest.raises(ValueError, match="more training tokens than a window's 10, got 10"):
        batches.next(1, 10)
    batches.close()


def test_data_are_resident_up_to_the_limit():
    it = corpus(np.arange(100))
    at_limit, over = open_batches(it, 0, CPU, 400), open_batches(it, 0, CPU, 399)
    assert isinstance(at_limit, ResidentBatches)
    assert isinstance(over, StreamedBatches)
    over.close()


def test_waiting_is_counted_and_resident_data_never_wait():
    tokens = np.arange(1000, dtype=np.uint16)
    here, there = resident(corpus(tokens)), streamed_from(tokens.view(Slow))
    for batches in (here, there):
        for _ in range(10):
            batches.next(8, 10)
        batches.close()
    assert here.waited_s == 0
    assert there.waited_s > 0.01


def test_time_between_batches_is_not_waiting():
    batches = streamed(corpus(np.arange(1000)))
    batches.next(2, 4)
    before_s = batches.waited_s
    time.sleep(0.2)
    batches.next(2, 4)
    assert batches.waited_s - before_s < 0.1
    batches.close()


def test_closing_ends_the_thread():
    def running():
        return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]

    batches = streamed(corpus(np.arange(100)))
    batches.next(2, 4)
    assert len(running()) == 1
    batches.close()
    batches.close()
    assert running() == []


def test_what_goes_wrong_in_the_thread_is_raised_where_the_batch_is_asked_for():
    class Broken(np.ndarray):
        def __getitem__(self, key):
            raise OSError("the disk is gone")

    batches = streamed_from(np.arange(100, dtype=np.uint16).view(Broken))
    with pytest.raises(OSError, match="the disk is gone"):
        batches.next(2, 4)
    batches.close()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("limit_bytes", [0, 2**30])
def test_batches_on_a_gpu_are_those_on_the_cpu(limit_bytes):
    tokens = np.arange(5000, dtype=np.uint16)
    batches = open_batches(corpus(tokens), 7, torch.device("cuda"), limit_bytes)
    for expected in as_before(tokens, 7, 4, 64, 50):
        x, y = batches.next(4, 64)
        assert x.device.type == "cuda"
        assert_same((x.cpu(), y.cpu()), expected)
    batches.close()
