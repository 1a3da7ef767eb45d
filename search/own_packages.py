"""Which packages the product imports: its own and the installed ones, whatever the current folder holds.

`python -m` puts the current folder first on the path, so that a `model.py` there (nanoGPT's own folder has
one) or a `yaml.py` would be taken for ours. Imports nothing that such a file could stand in for before it has
moved that folder to the end. What Python itself imports before it comes here (`types.py`, a `search.py`)
cannot be mended from here: `python -P -m search` leaves the current folder out.
"""

import os
import sys

_SCRIPTS = ("joulesearch", "joulesearch.exe")
_BESIDE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def current_folder_last() -> None:
    """Move the current folder from wherever it stands on the path to its end."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was removed, and holds nothing
        return
    ours = [entry for entry in sys.path if os.path.realpath(entry) != here]
    sys.path[:] = [*ours, *([here] if len(ours) < len(sys.path) else [])]


def take_own_model() -> None:
    """Import `model` from beside this package. Raises ImportError, which names what stands in its place."""
    from importlib.util import module_from_spec, spec_from_file_location

    folder = os.path.join(_BESIDE, "model")
    taken = sys.modules.get("model")
    if taken is not None:
        origin = getattr(taken, "__file__", None) or "something else"
        if os.path.realpath(os.path.dirname(origin)) != os.path.realpath(folder):
            raise ImportError(
                f"joulesearch needs its own package model, in {folder}, and {origin} was imported under that "
                "name; import search before it"
            )
        return
    spec = spec_from_file_location(
        "model", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)


def python_like_this(module: str) -> tuple[list[str], dict[str, str]]:
    """The command, and what to add to the environment, that run `module` in a process of its own: it imports
    what this one imports, from any folder."""
    path = [os.path.abspath(entry) for entry in sys.path if os.pathsep not in entry]
    return [sys.executable, "-P", "-m", module], {"PYTHONPATH": os.pathsep.join(path)}


def begin() -> None:
    """What must be so before anything else is imported. Where this package is only a library of another
    program, that program's path and signals are left alone."""
    started = sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0] if sys.argv else "") in _SCRIPTS
    if started:
        current_folder_last()
        from search.console.leaving import ignore_interrupts, leave_at_once

        if sys.orig_argv[-1:] == ["search.worker.process"]:  # Ctrl-C goes to the parent, which decides
            ignore_interrupts()
        else:
            leave_at_once()
    take_own_model()
