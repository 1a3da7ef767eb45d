"""What is asked of a worker survives the way to its process."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st
from scripted_run import REQUEST

from search.record.limits import Limits, Rival
from search.run.request import RunRequest


@given(
    st.builds(
        replace,
        st.just(REQUEST),
        params=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=3) | st.booleans()),
        objectives=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        limits=st.builds(
            Limits,
            energy_j=st.none() | st.floats(0, 1e9),
            time_s=st.none() | st.floats(0, 1e9),
            tokens=st.none() | st.integers(0, 10**12),
        ),
        rivals=st.lists(
            st.builds(
                Rival,
                trial=st.integers(0, 99),
                values=st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)),
                margin=st.floats(0, 2),
                confirmed_seeds=st.integers(0, 9),
            ),
            max_size=3,
        ).map(tuple),
        retry_of=st.none() | st.integers(0, 100),
        index=st.integers(0, 1000),
    )
)
def test_a_request_survives_the_way_to_another_process(request: RunRequest) -> None:
    assert RunRequest.from_dict(json.loads(json.dumps(asdict(request)))) == request
