"""Two processes that train together are one process that trains, and end together, however they end."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import torch
from small_run import CORPUS, CPU, drain, evaluations, small_run, train_losses
from this_cpu import compiles

from model.capabilities import find_compiler
from model.distributed.ranks import RankLost
from model.distributed.together import train_together
from model.train import train

ROOT = Path(__file__).resolve().parents[4]
EQUAL = 1e-5


def together(config, **rest):
    """(everything that two processes yield, the model that they hand over)."""
    models = []
    seen = list(train_together(config, CORPUS, "cpu", hand_over=models.append, **rest))
    (model,) = models
    return seen, model


def two(**parts):
    """A small run, and the same one by two processes."""
    train_section = {"batch_size": 8, "max_steps": 50} | parts.pop("train", {})
    one, both = (small_run(train=train_section | {"processes": count}, **parts) for count in (1, 2))
    return one, both


def differences(one, both, **rest):
    """The largest between losses in training, losses in evaluation, and weights."""
    seen, model = together(both, **rest)
    alone, alone_model = drain(one, **rest)
    assert [(p.step, p.tokens, p.phase) for p in seen] == [(p.step, p.tokens, p.phase) for p in alone]
    trained = zip(train_losses(seen), train_losses(alone), strict=True)
    evaluated = zip(evaluations(seen), evaluations(alone), strict=True)
    weights = zip(model.parameters(), alone_model.parameters(), strict=True)
    return (
        max(abs(a - b) for a, b in trained),
        max(abs(a - b) for (_, a), (_, b) in evaluated),
        max(float((a - b).detach().abs().max()) for a, b in weights),
    )


RAMPS = {
    "warmup_steps": 2,
    "batch_ramp_fraction": 0.5,
    "batch_ramp_from": 0.25,
    "context_ramp_fraction": 0.6,
    "context_ramp_from": 0.25,
}
MUON = {"name": "muon", "ns_dtype": "fp32"}
EVERY_PART = {
    **{"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16, "tied_head": False, "bias": True},
    **{"lookup_table": "trigram", "value_embedding": True, "smear": True, "embedding_skip": True},
}
slow = pytest.mark.slow


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"schedule": RAMPS, "optimizer": {"grad_clip": 0.05}}, id="adamw, clipped, ramped"),
        pytest.param({"optimizer": MUON | {"grad_clip": 0.05}}, id="muon, clipped", marks=slow),
        pytest.param({"optimizer": {"grad_clip": 0.0}}, id="adamw", marks=slow),
        pytest.param({"schedule": RAMPS, "optimizer": MUON}, id="muon, ramped", marks=slow),
        pytest.param({"train": {"batch_size": 3, "grad_accum": 4}}, id="micro-batches", marks=slow),
        pytest.param({"train": {"batch_size": 4, "grad_accum": 3}}, id="rows of three", marks=slow),
        pytest.param(
            {"schedule": {"warmup_steps": 2, "average_fraction": 0.5}}, id="averaged weights", marks=slow
        ),
        pytest.param({"model": EVERY_PART}, id="every part of the model", marks=slow),
    ],
)
def test_losses_and_weights_are_those_of_one_process(parts):
    assert max(differences(*two(**parts))) <= EQUAL


@pytest.mark.slow
def test_so_are_those_of_compiled_passes():
    one, both = two(train={"compile": True})
    backend = {"compile_backend": "aot_eager"}
    seen, _ = together(both, **backend)
    alone = list(train(one, CORPUS, CPU, **backend))
    assert [p.phase for p in seen] == [p.phase for p in alone]
    assert seen[-1].compiled == alone[-1].compiled
    pairs = zip(train_losses(seen), train_losses(alone), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= EQUAL


@pytest.mark.slow
@compiles
@pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler here")
def test_so_are_those_of_a_compiled_optimizer():
    assert max(differences(*two(optimizer={"kernel": "compiled"}))) <= EQUAL


@pytest.mark.slow
def test_the_decisions_about_evaluations_are_made_once_and_from_the_same_losses():
    one, both = two(train={"max_steps": 12})
    asked = {1: [], 2: []}

    def deciding(count):
        def next_evaluation(results):
            asked[count].append([(result.step, result.share) for result in results])
            return 2 + len(results)

        return next_evaluation

    seen, _ = together(both, next_evaluation=deciding(2), target_loss=0.5, score_test=True)
    alone, _ = drain(one, next_evaluation=deciding(1), target_loss=0.5, score_test=True)
    assert asked[2] == asked[1]
    assert [(p.step, p.whole, p.evaluated_tokens) for p in seen] == [
        (p.step, p.whole, p.evaluated_tokens) for p in alone
    ]
    assert seen[-1].test_loss == pytest.approx(alone[-1].test_loss, abs=EQUAL)


def left_behind():
    """What a training may leave: processes, ports, and files in the temporary folder."""
    own = psutil.Process()
    ports = [one.laddr for one in own.net_connections() if one.status == psutil.CONN_LISTEN]
    return own.children(recursive=True), ports, sorted(Path(tempfile.gettempdir()).iterdir())


@pytest.fixture
def clean(tmp_path, monkeypatch):
    """A temporary folder of its own; afterwards nothing is left that was not there."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = left_behind()
    yield
    assert left_behind() == before


def started(steps=10_000, **rest):
    """A training of two ranks that is some steps on."""
    training = train_together(two(train={"max_steps": steps})[1], CORPUS, "cpu", **rest)
    for progress in training:
        if progress.step == 3:
            return training
    raise AssertionError("it ended before")


def listening():
    """The addresses at which this process and its ranks can be reached."""
    own = psutil.Process()
    sockets = [one for process in (own, *own.children()) for one in process.net_connections()]
    return {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}


def rank_processes():
    """By rank."""
    found = psutil.Process().children()
    return {int(one.environ()["RANK"]): one for one in found}


@pytest.mark.slow
def test_a_driver_that_stops_early_ends_all_ranks_at_once_and_has_the_model(clean):
    models, peaks = [], []
    training = started(hand_over=models.append, on_peaks=peaks.append)
    assert models == []
    assert {address.removeprefix("::ffff:") for address in listening()} == {"127.0.0.1"}
    began_s = time.monotonic()
    training.close()
    assert time.monotonic() - began_s < 2.0
    (model,) = models
    expected = drain(two(train={"max_steps": 3}, schedule={"warmup_steps": 2, "decay_steps": 10_000})[0])[1]
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=EQUAL, rtol=0)
    if sys.platform == "linux":
        assert all(peak > 10**7 for peak in peaks[-1] if peak is not None)
        assert any(None not in of_both for of_both in peaks)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_the_run_and_is_named(clean, rank):
    training = started()
    rank_processes()[rank].send_signal(signal.SIGKILL)
    with pytest.raises(RankLost) as lost:
        list(training)
    assert str(lost.value) == f"rank {rank} of 2 was killed by SIGKILL (out of memory?)"


@pytest.mark.slow
def test_a_rank_that_is_killed_in_the_middle_of_a_step_is_named(clean):
    training = started()
    rank_processes()[1].suspend()  # rank 0 waits for its gradients
    timer = subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {rank_processes()[1].pid}"])
    with closing(training), pytest.raises(RankLost, match=r"^rank 1 of 2 was killed by SIGKILL"):
        list(training)
    timer.wait()


@pytest.mark.slow
def test_what_a_rank_raises_is_said_in_one_line_that_names_it(clean):
    config = two()[1]
    config.evaluation.tokens = 10**7  # more than there are: only whoever evaluates finds out
    with pytest.raises(RankLost, match=r"^rank \d of 2 failed: ConfigError: the validation part has"):
        list(train_together(config, CORPUS, "cpu"))


@pytest.mark.slow
def test_what_cannot_be_shared_out_is_refused_before_anything_starts(clean):
    with pytest.raises(ValueError, match=r"must divide train\.grad_accum=1"):
        next(train_together(two(train={"batch_size": 5})[1], CORPUS, "cpu"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a rank ends at its next step")
@pytest.mark.slow
@pytest.mark.parametrize("moment", ["training", "starting"])
def test_ranks_die_with_a_driver_that_is_killed(tmp_path, moment):
    script = """
        import sys, time
        import psutil
        from small_run import CORPUS, small_run
        from model.distributed.together import train_together
        steps = {"max_steps": 10**6, "processes": 2}
        training = train_together(small_run(train=steps), CORPUS, "cpu")
        if sys.argv[1] == "starting":
            import threading
            threading.Thread(target=lambda: list(training), daemon=True).start()
            while len(psutil.Process().children()) < 2:
                time.sleep(0.01)
        else:
            for progress in training:
                if progress.step == 3:
                    break
        print(*(child.pid for child in psutil.Process().children()), flush=True)
        time.sleep(60) if sys.argv[1] == "starting" else list(training)
    """
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(script), moment]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as driver:
        pids = [int(word) for word in driver.stdout.readline().split()]
        assert len(pids) == 2
        driver.kill()
    until_s = time.monotonic() + 10.0
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, pids))
    assert list(tmp_path.iterdir()) == []
