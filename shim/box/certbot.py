"""Sites that `certbot --nginx` edited, as the documentation of version 0.1.0 said."""

import re

from .files import File

_TLS = re.compile(r"\n(?:    [^\n]+ # managed by Certbot\n)+\n(?=\})")
_REDIRECT = re.compile(
    r"\n\nserver \{\n"
    r"    if \(\$host = [^\n]+\) \{\n"
    r"        return 301 https://\$host\$request_uri;\n"
    r"    \} # managed by Certbot\n\n\n"
    r"(?P<listen>(?:    listen [^\n]+\n)+)"
    r"    server_name [^\n]+\n"
    r"    return 404; # managed by Certbot\n\n\n"
    r"\}\Z"
)


def is_certbots(site: File, digest: str) -> bool:
    """Return whether certbot alone edited the `site` whose content had this SHA-256."""
    text = site.text
    if redirect := _REDIRECT.search(text):
        text = text[: redirect.start()]
        text = text.replace(
            "    server_name ", f"{redirect['listen']}    server_name ", 1
        )
    text = _TLS.sub("", text)
    return text != site.text and site._replace(text=text).digest() == digest
