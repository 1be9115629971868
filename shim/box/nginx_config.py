"""nginx's configuration, as `nginx -T` prints it, and our site in it."""

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import NamedTuple

# nginx's own grammar: strings, comments, punctuation, words
_LEXEME = re.compile(r""" "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | \#[^\n]* | [{};]
    | (?:\\.|\$\{|[^\s{};"'\\])(?:\\.|\$\{[^}]*\}|[^\s{};\\])* """, re.VERBOSE)  # fmt: skip


class Directive(NamedTuple):
    """One nginx directive: its name and arguments, and the directives in its block."""

    words: list[str]
    block: list["Directive"]

    def find(self, name: str) -> Iterator["Directive"]:
        """Yield the directives named `name` in this block, at any depth."""
        for directive in self.block:
            if directive.words[0] == name:
                yield directive
            yield from directive.find(name)


class Site(NamedTuple):
    """Where our site listens, and where it finds the endpoint and the records."""

    address: str  # for a client on this box
    port: int
    tls: bool
    server_name: str
    socket: str
    internal_prefix: str
    records: str
    certificate: str | None
    certificate_key: str | None
    listen: str  # as the option --listen has it
    cache_time: str | None


def parse(text: str) -> Directive:
    """Return the parsed configuration `text`, which nginx has accepted."""
    root = Directive([], [])
    open_blocks = [root]
    words: list[str] = []
    for lexeme in _LEXEME.findall(text):
        if lexeme.startswith("#"):
            continue
        if lexeme == "}":
            open_blocks.pop()
        elif lexeme in ";{":
            directive = Directive(words, [])
            open_blocks[-1].block.append(directive)
            if lexeme == "{":
                open_blocks.append(directive)
            words = []
        else:
            quoted = lexeme[0] in "\"'"
            words.append(lexeme[1:-1] if quoted else lexeme)
    return root


def find_site(config: Directive) -> Site | None:
    """Return our site if `config` contains it.

    It is the server that passes tokens to the endpoint, not the one that redirects to it.
    """
    upstream = next(
        (x for x in config.find("upstream") if x.words[1:] == ["record-shim"]), None
    )
    for server in config.find("server"):
        passed = [x.words[1] for x in server.find("proxy_pass")]
        locations = list(server.find("location"))
        internal = [x for x in locations if any(x.find("internal"))]
        cached = [x for x in locations if any(x.find("auth_request"))]
        records = [y.words[1] for x in internal for y in x.find("alias")]
        records += [y.words[1] for x in cached for y in x.find("root")]
        if not upstream or not internal or not records:
            continue
        if not any(x.startswith("http://record-shim/") for x in passed):
            continue
        address, port, tls = _listen(server)
        return Site(
            address=address,
            port=port,
            tls=tls,
            server_name=_value(server, "server_name") or "_",
            socket=next(upstream.find("server")).words[1].removeprefix("unix:"),
            internal_prefix=internal[0].words[-1],
            records=records[0].rstrip("/"),
            certificate=_value(server, "ssl_certificate"),
            certificate_key=_value(server, "ssl_certificate_key"),
            listen=_listen_option(server),
            cache_time=_cache_time(server),
        )
    return None


def includes(config: Directive, path: str) -> bool:
    """Return whether the http block reads the file at `path` if there is one."""
    patterns = [
        os.path.join("/etc/nginx", x.words[1])
        for http in config.find("http")
        for x in http.block
        if x.words[0] == "include"
    ]
    # as glob(3) does, a pattern for names does not match directories
    directory, name = os.path.split(path)
    return any(
        os.path.dirname(x) == directory and fnmatch(name, os.path.basename(x))
        for x in patterns
    )


def cache_directory(config: Directive) -> str | None:
    """Return the directory in which nginx caches opened tokens, if it does."""
    return next(
        (
            x.words[1]
            for x in config.find("proxy_cache_path")
            if any(y.startswith("keys_zone=record_shim:") for y in x.words)
        ),
        None,
    )


def worker_user(config: Directive) -> str:
    """Return the user of nginx's workers."""
    return next((x.words[1] for x in config.find("user")), "nobody")


def listens_on(config: Directive, port: int) -> bool:
    """Return whether a server in `config` listens on the TCP port `port`."""
    return any(_parsed(x)[1] == port for x in config.find("listen"))


def _listen_option(server: Directive) -> str:
    # a port alone has a line for IPv4 and one for IPv6
    return min((x.words[1] for x in server.find("listen")), key=len, default="80")


def _cache_time(server: Directive) -> str | None:
    times = [x.words for x in server.find("proxy_cache_valid")]
    return next((x[2] for x in times if x[1] == "200"), None)


def _value(server: Directive, name: str) -> str | None:
    return next((x.words[1] for x in server.find(name)), None)


def _listen(server: Directive) -> tuple[str, int, bool]:
    parsed = [(*_parsed(x), "ssl" in x.words) for x in server.find("listen")]
    # a site that certbot edited may still listen on port 80 as well
    parsed.sort(key=lambda x: not x[2])
    return next((x for x in parsed if x[1]), ("127.0.0.1", 80, False))


def _parsed(listen: Directive) -> tuple[str, int]:
    where = listen.words[1]
    if where.startswith("unix:"):
        return "", 0
    if not re.search(r":[0-9]+\Z|\A[0-9]+\Z", where):
        where += ":80"
    host, _, port = where.rpartition(":")
    if host.strip("[]") in ("", "*", "0.0.0.0"):  # noqa: S104
        return "127.0.0.1", int(port)
    return ("::1" if host == "[::]" else host.strip("[]")), int(port)
