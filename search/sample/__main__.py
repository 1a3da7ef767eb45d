"""`python -m search.sample FOLDER ["prompt"] [key=value ...]`: what a model writes after a prompt. The folder
is one that `python -m search.train save=FOLDER` has made."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from search.console.leaving import end_with, leaving_at_once, raise_when_stopped
from search.console.one_line_parser import OneLineParser


def main() -> None:
    end_with(program)


def program(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    dashes = given.index("--") if "--" in given else len(given)
    before, after = given[:dashes], given[dashes + 1 :]
    options = _parser().parse_args(before)
    from search.sample.settings import settings_of

    settings = settings_of([options.folder, *options.rest], after)
    with leaving_at_once():
        from search.files.paths import absolute, cache_dir
        from search.files.saved_model import read_model
        from search.sample.prompt import prompt_of, tokenizer_of

        saved = read_model(absolute(settings.folder))
        tokenizer = tokenizer_of(saved, cache_dir())
        prompt = prompt_of(settings.prompt, tokenizer)
        from search.sample.write import written  # imports torch

    raise_when_stopped()
    ids = written(saved, settings, prompt)
    sys.stdout.write(tokenizer.decode([*prompt, *ids] if settings.prompt else ids) + "\n")
    return 0


def _parser() -> OneLineParser:
    parser = OneLineParser(
        example='python -m search.sample FOLDER "To be, or" tokens=300 temperature=0.5',
        prog="python -m search.sample",
        description="Continue a text with a model that python -m search.train save=FOLDER has kept. The same "
        "seed gives the same text.",
        epilog="tokens=200: how many to add. temperature=0.8: lower is more predictable, 0 always takes the "
        "likeliest token. top_k=N: only the N likeliest. seed=1337. device=cpu or cuda.",
    )
    parser.add_argument("folder", help="the folder of a trained model")
    parser.add_argument(
        "rest", nargs="*", default=[], metavar="prompt or key=value", help="what it continues; settings"
    )
    return parser


if __name__ == "__main__":
    main()
