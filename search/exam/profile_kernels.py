"""`python -m search.exam.profile_kernels`: where the time and the joules of each measured kernel go, into
profiles.json."""

from __future__ import annotations

from search.console.leaving import end_with
from search.exam.kernel_process import Work, take_kernels


def _profiling() -> Work:
    from search.exam.profiling import profile_all

    return profile_all


def main() -> None:
    end_with(lambda: take_kernels(_profiling))


if __name__ == "__main__":
    main()
