"""`python -m search.exam.measure`: joules and seconds a step of each kernel, into variants.json."""

from __future__ import annotations

from search.console.leaving import end_with
from search.exam.kernel_process import Work, take_kernels


def _measuring() -> Work:
    from search.exam.measuring import measure_all

    return measure_all


def main() -> None:
    end_with(lambda: take_kernels(_measuring))


if __name__ == "__main__":
    main()
