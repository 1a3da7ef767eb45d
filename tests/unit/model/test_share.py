"""Shares of a step are equal and are together the whole of it."""

from hypothesis import given
from hypothesis import strategies as st

from model.share import WHOLE, Share

few = st.integers(1, 6)


@given(few, few, few)
def test_the_shares_of_a_step_are_together_all_of_its_sequences(processes, batch_size, grad_accum):
    for batch, accum in ((processes * batch_size, grad_accum), (batch_size, processes * grad_accum)):
        share = Share.of(0, processes, accum)
        taken = share.micro_batches(accum) * share.sequences(batch)
        assert processes * taken == batch * accum


def test_micro_batches_stay_whole_where_their_number_divides():
    assert Share.of(1, 2, 4) == Share(1, 2, by_micro_batch=True)
    assert Share.of(1, 2, 3) == Share(1, 2, by_micro_batch=False)


def test_one_process_takes_everything():
    assert Share.of(0, 1, 3) == WHOLE
    assert (WHOLE.micro_batches(3), WHOLE.sequences(5)) == (3, 5)
