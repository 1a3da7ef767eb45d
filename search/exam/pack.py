"""An exam's folder, carried to another machine in a few files of limited size, and laid down there.

A pack is a folder with `manifest.json` and the parts of one compressed tar. The manifest is written last and
names each part with its size and sha256, so that a pack is whole or is seen not to be.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from search.errors import UserError
from search.exam.folder import EXAM_FILE, ExamFolder
from search.files.paths import shown
from search.files.whole_file import check_folder, naming, read_json, write_atomically

SCHEMA = 1
MANIFEST = "manifest.json"
MOST_FILES = 8
LARGEST_BYTES = 16_000_000
_PART = "exam.tar.xz."
# Of processes that run, and what a kill left half written.
_LEFT_OUT = ("*.tmp", ".*lock*", ".deciding", ".reading")


def pack(folder: ExamFolder, study: str, into: Path, largest_bytes: int = LARGEST_BYTES) -> str:
    """Write everything that is needed to go on; returns a line that says what was written. A pack that was
    there is replaced. Raises UserError where it would be too large."""
    check_folder(into)
    with naming(into, "made"):
        into.mkdir(parents=True, exist_ok=True)
    facts = sorted(folder.facts())
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w:xz") as tar:
            for path in _files(folder.path):
                tar.add(path, path.relative_to(folder.path).as_posix(), recursive=False)
        size = archive.tell()
        if size > (MOST_FILES - 1) * largest_bytes:
            raise UserError(_too_large(folder.path, size, largest_bytes))
        archive.seek(0)
        with naming(into, "written into"):
            _clear(into)
            parts = _write_parts(archive, into, largest_bytes)
    manifest = {"schema": SCHEMA, "study": study, "parts": parts, "facts": facts}
    write_atomically(into / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    place = shown(into)
    return f"{place}: {len(parts) + 1} files, {size / 1e6:.2f} MB; exam.resume={place} goes on with it"


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not any(path.match(one) for one in _LEFT_OUT):
            yield path


def _clear(into: Path) -> None:
    """The pack before, its manifest first: a kill from here on leaves none, never a mixed one."""
    (into / MANIFEST).unlink(missing_ok=True)
    for part in into.glob(f"{_PART}*"):
        part.unlink()


def _write_parts(archive: Any, into: Path, largest_bytes: int) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    while chunk := archive.read(largest_bytes):
        name = f"{_PART}{len(parts)}"
        with (into / name).open("wb") as file:
            file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        parts.append({"name": name, "bytes": len(chunk), "sha256": hashlib.sha256(chunk).hexdigest()})
    return parts


def _too_large(folder: Path, size: int, largest_bytes: int) -> str:
    largest = sorted(_files(folder), key=lambda path: path.stat().st_size, reverse=True)[:3]
    named = ", ".join(
        f"{path.relative_to(folder)} ({path.stat().st_size / 1e6:.1f} MB before compression)"
        for path in largest
    )
    return (
        f"the pack would have {size / 1e6:.1f} MB, and {MOST_FILES - 1} files of {largest_bytes / 1e6:g} MB "
        f"are allowed beside its manifest; the largest files are {named}: carry {shown(folder)} as it is"
    )


class Relation(StrEnum):
    """Of what a folder has to what a pack has."""

    SAME = "same"
    BEHIND = "behind"
    AHEAD = "ahead"
    APART = "apart"


def relation(ours: frozenset[str], theirs: frozenset[str]) -> Relation:
    """By the facts of both: each has what the other lacks where they went apart."""
    if ours == theirs:
        return Relation.SAME
    if ours <= theirs:
        return Relation.BEHIND
    return Relation.AHEAD if theirs <= ours else Relation.APART


def lay_down(source: Path, folder: ExamFolder, study: str) -> str:
    """Bring what `source` has, a pack or the folder of an exam, into `folder`; returns a line that says what
    was done. A folder that is as far or further is left as it is. Raises UserError where the source is torn
    or of another study, or where both have what the other lacks."""
    if source.absolute() == folder.path:
        return f"{shown(folder.path)} goes on where it is"
    check_folder(folder.path)
    with _unpacked(source, folder.path) as laid:
        form = laid.read_exam()
        if form is None or form.study != study:
            named = "nothing" if form is None else form.study
            raise UserError(f"{shown(source)} holds an exam of {named}, and this one is of {study}")
        here = _facts_here(folder)
        found = relation(here, laid.facts())
        if found is Relation.APART:
            raise UserError(
                f"{shown(folder.path)} and {shown(source)} each hold measurements that the other lacks; type "
                "exam.folder=OTHER for one of them"
            )
        if here and found in (Relation.SAME, Relation.AHEAD):
            return f"{shown(folder.path)} is as far as {shown(source)}, or further, and is left as it is"
        _put(laid.path, folder.path)
    return f"{shown(folder.path)} goes on with {shown(source)}"


def _facts_here(folder: ExamFolder) -> frozenset[str]:
    """Of a folder that may be replaced. Raises UserError where it holds something else than an exam."""
    if not folder.path.exists():
        return frozenset()
    if any(folder.path.iterdir()) and not (folder.path / EXAM_FILE).exists():
        raise UserError(f"{shown(folder.path)} holds other files than an exam's; type exam.folder=OTHER")
    return folder.facts()


def _put(laid: Path, folder: Path) -> None:
    """In the place of what is there, which is behind."""
    with naming(folder, "replaced"):
        if not folder.exists():
            laid.replace(folder)
            return
        with ExamFolder(folder).alone():
            aside = laid.with_name(f"{laid.name}.before")
            folder.replace(aside)
            laid.replace(folder)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _unpacked(source: Path, folder: Path) -> Iterator[ExamFolder]:
    """What a pack or a folder holds, in a folder beside the one that it is for, so that it can be renamed."""
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with naming(folder.parent, "written into"):
            folder.parent.mkdir(parents=True, exist_ok=True)
        if (source / MANIFEST).is_file():
            _extract(source, draft)
        elif (source / EXAM_FILE).is_file():
            with naming(source, "copied"):
                shutil.copytree(source, draft, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        else:
            raise UserError(
                f"{shown(source)} is no pack of an exam and no exam's folder: expected {MANIFEST} or "
                f"{EXAM_FILE} in it"
            )
        yield ExamFolder(draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _extract(source: Path, draft: Path) -> None:
    try:
        with tempfile.TemporaryFile() as archive:
            for chunk in _checked_parts(source):
                archive.write(chunk)
            archive.seek(0)
            draft.mkdir()
            with tarfile.open(fileobj=archive, mode="r:xz") as tar:
                tar.extractall(draft, filter="data")
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise UserError(f"{shown(source)} cannot be unpacked ({error}); copy the pack again") from error


def _checked_parts(source: Path) -> Iterator[bytes]:
    """The bytes of each part in turn. Raises UserError where one is missing or is not the one packed."""
    manifest = read_json(source / MANIFEST)
    try:
        if manifest["schema"] != SCHEMA:
            raise ValueError(f"schema {manifest['schema']}")
        parts = [(str(one["name"]), str(one["sha256"])) for one in manifest["parts"]]
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{shown(source / MANIFEST)} cannot be understood; copy the pack again") from error
    for name, sha256 in parts:
        path = source / Path(name).name
        if not path.is_file():
            raise UserError(f"the pack in {shown(source)} lacks {name}; copy it again, whole")
        chunk = path.read_bytes()
        if hashlib.sha256(chunk).hexdigest() != sha256:
            raise UserError(f"{shown(path)} is not the file that was packed; copy the pack again, whole")
        yield chunk
