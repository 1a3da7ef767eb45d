"""`output=FILE`: the record of a single run, added to a file of records."""

from __future__ import annotations

from search.errors import UserError
from search.files.paths import absolute
from search.files.records import RecordsError, append_record, as_line, check_appendable
from search.record.record import Record


def check_output(output: str) -> None:
    """Raises UserError where the record could not be written: found before there is one to lose."""
    if not absolute(output).parent.is_dir():
        raise UserError(f"output={output} lies in a folder that does not exist")
    try:
        check_appendable(absolute(output))
    except RecordsError as error:
        raise UserError(f"output={output} is no file of records ({error}); type output=ANOTHER") from error
    except OSError as error:
        raise UserError(
            f"output={output} cannot be written: {error.strerror or error}; type output=ANOTHER"
        ) from error


def append_to_output(output: str, record: Record) -> None:
    """Add the record to the file. Where it cannot be written any more, it goes to standard output: it is
    never lost."""
    try:
        append_record(absolute(output), record)
    except OSError as error:
        print(as_line(record))
        reason = error.strerror or error
        raise UserError(
            f"output={output} can no longer be written: {reason}; the record is the line above"
        ) from error
