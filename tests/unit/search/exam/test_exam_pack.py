"""A pack is whole or refused, and never takes the place of what is further on."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import UserError
from search.exam.cases import CaseState, Measurement
from search.exam.folder import ExamFolder
from search.exam.forms import ExamForm, VariantsForm
from search.exam.pack import MANIFEST, MOST_FILES, Relation, lay_down, pack, relation
from search.exam.plan import State, StepName, StepProgress

STUDY = "mine"


def an_exam(path: Path, runs: int, kernels: int = 1, done: bool = False) -> ExamFolder:
    """A folder as an exam leaves it."""
    folder = ExamFolder(path)
    folder.study(STUDY).mkdir(parents=True)
    steps = {StepName.METER: StepProgress(State.DONE if done else State.WAITING, 0, 12.5, "now", "a note")}
    folder.write_exam(ExamForm(STUDY, ("+study=tiny",), {"device": "H100"}, steps))
    measured = tuple(
        Measurement(f"k{n}", {}, 1, CaseState.UNKNOWN, "lost", flags=("x",), at=f"{n}")
        for n in range(kernels)
    )
    folder.write_variants(VariantsForm({}, {"name": "nvml", "kind": "measured"}, "H100", (), measured))
    lines = [json.dumps({"run_id": f"r{n}", "loss": 1.0}) + "\n" for n in range(runs)]
    (folder.study(STUDY) / "records.jsonl").write_text("".join(lines))
    return folder


def contents(folder: ExamFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder.path)): path.read_bytes()
        for path in folder.path.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


def test_what_is_packed_is_laid_down_as_it_was(tmp_path: Path) -> None:
    before = an_exam(tmp_path / "a", 3)
    (before.path / ".exam.lock").touch()
    pack(before, STUDY, tmp_path / "pack")
    after = ExamFolder(tmp_path / "b")
    lay_down(tmp_path / "pack", after, STUDY)
    assert contents(after) == contents(before)
    assert not list(tmp_path.glob(".b*")), "nothing is left beside it"


def test_a_pack_is_a_few_small_files_with_plain_names(tmp_path: Path) -> None:
    folder = an_exam(tmp_path / "a", 3)
    (folder.path / "noise").write_bytes(random.Random(0).randbytes(20_000))
    pack(folder, STUDY, tmp_path / "pack", largest_bytes=4_000)
    files = list((tmp_path / "pack").iterdir())
    assert 3 < len(files) <= MOST_FILES
    assert all(path.stat().st_size <= 4_000 for path in files)
    plain = set(string.ascii_letters + string.digits + "._-")
    assert all(set(path.name) <= plain for path in files)
    lay_down(tmp_path / "pack", ExamFolder(tmp_path / "b"), STUDY)
    assert contents(ExamFolder(tmp_path / "b")) == contents(folder)


def test_what_is_too_large_is_one_line_that_names_it_and_leaves_the_pack_before(tmp_path: Path) -> None:
    folder = an_exam(tmp_path / "a", 3)
    pack(folder, STUDY, tmp_path / "pack")
    before = (tmp_path / "pack" / MANIFEST).read_text()
    (folder.path / "noise").write_bytes(random.Random(0).randbytes(20_000))
    with pytest.raises(UserError, match="noise") as refused:
        pack(folder, STUDY, tmp_path / "pack", largest_bytes=1_000)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "pack" / MANIFEST).read_text() == before


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "no manifest", "half a manifest"])
def test_a_torn_pack_is_refused_in_one_line_and_nothing_is_laid_down(tmp_path: Path, damage: str) -> None:
    pack(an_exam(tmp_path / "a", 3), STUDY, tmp_path / "pack")
    part, manifest = tmp_path / "pack" / "exam.tar.xz.0", tmp_path / "pack" / MANIFEST
    match damage:
        case "missing":
            part.unlink()
        case "cut":
            part.write_bytes(part.read_bytes()[:-1])
        case "changed":
            part.write_bytes(b"x" + part.read_bytes()[1:])
        case "no manifest":
            manifest.unlink()
        case _:
            manifest.write_text(manifest.read_text()[:20])
    with pytest.raises(UserError) as refused:
        lay_down(tmp_path / "pack", ExamFolder(tmp_path / "b"), STUDY)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "b").exists()


def test_the_exam_of_another_study_is_refused(tmp_path: Path) -> None:
    pack(an_exam(tmp_path / "a", 3), STUDY, tmp_path / "pack")
    with pytest.raises(UserError, match="mine, and this one is of other"):
        lay_down(tmp_path / "pack", ExamFolder(tmp_path / "b"), "other")


def test_a_folder_that_is_behind_is_replaced(tmp_path: Path) -> None:
    here = an_exam(tmp_path / "b", 2)
    lay_down(an_exam(tmp_path / "a", 3, done=True).path, here, STUDY)
    assert contents(here) == contents(ExamFolder(tmp_path / "a"))


def test_a_folder_that_is_further_on_is_left_as_it_is(tmp_path: Path) -> None:
    here = an_exam(tmp_path / "b", 4, kernels=2)
    before = contents(here)
    pack(an_exam(tmp_path / "a", 3), STUDY, tmp_path / "pack")
    assert "left as it is" in lay_down(tmp_path / "pack", here, STUDY)
    assert contents(here) == before


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    source = an_exam(tmp_path / "a", 3)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds other files"):
        lay_down(source.path, ExamFolder(tmp_path / "b"), STUDY)
    assert (tmp_path / "b" / "thesis.tex").read_text() == "years of work"


def test_two_that_went_apart_are_refused(tmp_path: Path) -> None:
    here = an_exam(tmp_path / "b", 4, kernels=1)
    before = contents(here)
    with pytest.raises(UserError, match="each hold measurements that the other lacks"):
        lay_down(an_exam(tmp_path / "a", 3, kernels=2).path, here, STUDY)
    assert contents(here) == before


FACTS = st.frozensets(st.sampled_from("abcd"))


@given(FACTS, FACTS)
def test_only_a_folder_that_has_nothing_of_its_own_is_behind(
    ours: frozenset[str], theirs: frozenset[str]
) -> None:
    found = relation(ours, theirs)
    assert (found is Relation.BEHIND) == (ours < theirs)
    assert (found is Relation.APART) == bool(ours - theirs and theirs - ours)
    mirrored = {Relation.BEHIND: Relation.AHEAD, Relation.AHEAD: Relation.BEHIND}
    assert relation(theirs, ours) is mirrored.get(found, found)


def test_the_forms_come_back_from_json_as_they_went(tmp_path: Path) -> None:
    folder = an_exam(tmp_path / "a", 1, kernels=2, done=True)
    exam, variants = folder.read_exam(), folder.read_variants()
    assert exam is not None
    assert variants is not None
    folder.write_exam(exam)
    folder.write_variants(variants)
    assert (folder.read_exam(), folder.read_variants()) == (exam, variants)
    assert variants.measured[0].energy_j is None


def test_a_damaged_form_is_one_line(tmp_path: Path) -> None:
    folder = an_exam(tmp_path / "a", 1)
    (folder.path / "exam.json").write_text('{"schema": 1, "study": ')
    with pytest.raises(UserError, match=r"exam\.json cannot be understood"):
        folder.read_exam()
