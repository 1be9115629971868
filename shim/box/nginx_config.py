"""nginx's configuration, as `nginx -T` prints it, and our site in it."""

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from .templates import canonical_name

# nginx's own grammar: strings, comments, punctuation, words
_LEXEME = re.compile(r""" "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | \#[^\n]* | [{};]
    | (?:\\.|\$\{|[^\s{};"'\\])(?:\\.|\$\{[^}]*\}|[^\s{};\\])* """, re.VERBOSE)  # fmt: skip
_FILE = re.compile(r"^# configuration file (.*):$", re.MULTILINE)


class Directive(NamedTuple):
    """One nginx directive: its name and arguments, and the directives in its block."""

    words: list[str]
    block: list["Directive"]
    file: str = ""

    def find(self, name: str) -> Iterator["Directive"]:
        """Yield the directives named `name` in this block, at any depth."""
        for directive in self.block:
            if directive.words[:1] == [name]:
                yield directive
            yield from directive.find(name)


class Listen(NamedTuple):
    """An address of this box on which nginx listens, as a client on this box uses it."""

    address: str
    port: int
    tls: bool


class Site(NamedTuple):
    """Where our site listens, and where it finds the endpoint and the records."""

    # of the first of `listens`
    address: str
    port: int
    tls: bool
    listens: tuple[Listen, ...]
    server_name: str
    server_names: tuple[str, ...]
    socket: str
    internal_prefix: str
    records: str
    certificate: str | None
    certificate_key: str | None
    certificates: tuple[str, ...]  # there may be one for RSA and one for ECDSA
    # nginx trusts a load balancer in front of it
    behind_balancer: bool
    # the texts of the 404 and the 503
    not_found: str | None
    unavailable: str | None
    other_logs: tuple[str, ...]  # directives for logs that would contain tokens
    file: str
    listen: str  # as the option --listen has it
    cache_time: str | None


def parse(text: str) -> Directive:
    """Return the parsed configuration `text`, which `nginx -T` has printed.

    The directives of included files are in the block of the include directive.
    """
    before, *rest = _FILE.split(text)
    names, contents = rest[::2], rest[1::2]
    main, directory = (names[0], os.path.dirname(names[0])) if names else ("", "")
    files = {x: _parse(y, x) for x, y in zip(names, contents, strict=True)}
    root = files.get(main, []) + _parse(before, "")
    return Directive([], _with_included(root, files, directory))


def _with_included(
    block: list[Directive], files: dict[str, list[Directive]], directory: str
) -> list[Directive]:
    whole = []
    for directive in block:
        inner = directive.block
        if directive.words[:1] == ["include"]:
            # relative to nginx.conf; in glob(3), unlike fnmatch, * matches no slash
            pattern = os.path.join(directory, directive.words[1])
            for name, content in files.items():
                if name.count("/") == pattern.count("/") and fnmatchcase(name, pattern):
                    inner = inner + content
        inner = _with_included(inner, files, directory)
        whole.append(directive._replace(block=inner))
    return whole


def _parse(text: str, file: str) -> list[Directive]:
    root = Directive([], [])
    open_blocks = [root]
    words: list[str] = []
    for lexeme in _LEXEME.findall(text):
        if lexeme.startswith("#"):
            continue
        if lexeme == "}":
            # in Lua code, braces need not match
            if len(open_blocks) > 1:
                open_blocks.pop()
        elif lexeme in ";{":
            directive = Directive(words, [], file)
            open_blocks[-1].block.append(directive)
            if lexeme == "{":
                open_blocks.append(directive)
            words = []
        else:
            quoted = lexeme[0] in "\"'"
            words.append(lexeme[1:-1] if quoted else lexeme)
    return root.block


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
        listens = _listens(server)
        names = [y for x in server.find("server_name") for y in x.words[1:]] or ["_"]
        return Site(
            address=listens[0].address,
            port=listens[0].port,
            tls=listens[0].tls,
            listens=listens,
            server_name=names[0],
            server_names=tuple(names),
            socket=next(upstream.find("server")).words[1].removeprefix("unix:"),
            internal_prefix=internal[0].words[-1],
            records=records[0].rstrip("/"),
            certificate=_value(server, "ssl_certificate"),
            certificate_key=_value(server, "ssl_certificate_key"),
            certificates=tuple(x.words[1] for x in server.find("ssl_certificate")),
            behind_balancer=_trusts_balancer(server, config),
            not_found=_text(server, "404"),
            unavailable=_text(server, "503"),
            other_logs=tuple(_other_logs(server)),
            file=server.file,
            listen=_listen_option(server),
            cache_time=_cache_time(server),
        )
    return None


def has_name(site: Site, host: str) -> bool:
    """Return whether nginx's server_name of the site allows for the host name `host`.

    A regular expression allows for all. Source: ngx_http_core_module, "server_name".
    """
    host = canonical_name(host)
    for name in map(canonical_name, site.server_names):
        wildcard = name.startswith(".") and f".{host}".endswith(name)
        if name in ("_", host) or name.startswith("~") or wildcard:
            return True
        if "*" in name and fnmatchcase(host, name):
            return True
    return False


def rivals(config: Directive, site: Site) -> list[str]:
    """Return the files, other than the site's, with servers that could take its requests.

    These are the servers with its name or, if there are none, those on its ports.
    """
    names = set(map(canonical_name, site.server_names))
    others = [
        x for x in config.find("server") if x.block and x.file not in ("", site.file)
    ]
    named = [
        x.file
        for x in others
        for y in x.find("server_name")
        if names & set(map(canonical_name, y.words[1:]))
    ]
    ports = {x.port for x in site.listens}
    listening = [x.file for x in others if ports & {y.port for y in _listens(x)}]
    return sorted(set(named or listening))


def includes(config: Directive, path: str) -> bool:
    """Return whether the http block reads the file at `path` if there is one."""
    patterns = [
        os.path.join("/etc/nginx", x.words[1])
        for http in config.find("http")
        for x in http.block
        if x.words[:1] == ["include"]
    ]
    # as glob(3) does, a pattern for names does not match directories
    directory, name = os.path.split(path)
    return any(
        os.path.dirname(x) == directory and fnmatchcase(name, os.path.basename(x))
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


def _other_logs(server: Directive) -> Iterator[str]:
    for log in (*server.find("access_log"), *server.find("error_log")):
        # the last word is the format of ours, or the level
        if log.words[-1] not in ("off", "record_shim", "emerg"):
            yield f"{' '.join(log.words)};"


def _value(server: Directive, name: str) -> str | None:
    return next((x.words[1] for x in server.find(name)), None)


def _trusts_balancer(server: Directive, config: Directive) -> bool:
    everywhere = [y for x in config.find("http") for y in _directives(x)]
    return any(server.find("set_real_ip_from")) or any(
        x.words[:1] == ["set_real_ip_from"] for x in everywhere
    )


def _directives(block: Directive) -> Iterator[Directive]:
    """Yield the directives in `block`, also included ones, but none of inner blocks."""
    for directive in block.block:
        if directive.words[:1] == ["include"]:
            yield from _directives(directive)
        else:
            yield directive


def _text(server: Directive, status: str) -> str | None:
    """Return the text that the server sends with `status`, if it has one."""
    for returned in server.find("return"):
        if returned.words[1] == status and len(returned.words) > 2:
            return returned.words[2].replace("\\n", "\n")
    return None


def _listens(server: Directive) -> tuple[Listen, ...]:
    """Return where the server listens: where it does so with TLS comes first."""
    parsed = [Listen(*_parsed(x), "ssl" in x.words) for x in server.find("listen")]
    # a site that certbot edited may still listen on port 80 as well
    found = sorted((x for x in parsed if x.port), key=lambda x: not x.tls)
    return tuple(found) or (Listen("127.0.0.1", 80, False),)


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
