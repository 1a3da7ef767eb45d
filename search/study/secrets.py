"""A storage's URL without its password, and texts in which it may stand."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


def without_secret(url: str) -> str:
    """The URL as it may be shown: no password, whichever way it was typed.

    Where it does not parse, or more than one reading is possible, only its scheme is left.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return f"{url.split('://')[0]}://***" if "://" in url else "***" if set("@:") & set(url) else url
    if url.count("@") > 1:
        return f"{parsed.drivername}://***"
    shown = parsed.set(query=dict.fromkeys(parsed.query, "***"))
    return shown.render_as_string(hide_password=True)


def scrub(text: str, url: str) -> str:
    """`text` without the password that `url` holds, in any of its spellings."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(url: str) -> set[str]:
    found = set(re.findall(r"://[^:/@]*:(.*)@", url)) | set(re.findall(r"[?&][^=&]*=([^&]*)", url))
    try:
        parsed = make_url(url)
        found |= {str(parsed.password)} if parsed.password else set()
        found |= {str(value) for value in parsed.query.values()}
    except (ArgumentError, ValueError):
        found |= set(re.findall(r":([^:@/]+)[@/]", url)) | {url}
    return {form for secret in found if secret for form in (secret, unquote(secret), quote(secret, safe=""))}
