"""Why a token is refused, and what is wrong with the configuration."""

from enum import Enum


class Reason(Enum):
    """Every reason for which a token is refused.

    `code` is the name in lower case. Operators search the journal for it, so it never
    changes. In `sentence`, {} stands for the detail of one case. `status` is the HTTP
    status that the client gets.
    """

    NOT_BASE64URL = ("not base64url (RFC 4648, section 5)", 404)
    NOT_CANONICAL = ("base64url is not canonical: wrong padding or stray bits", 404)
    TOKEN_TOO_LONG = ("token is longer than nginx accepts in a request line", 404)

    NO_ECB_KEY = ("ECB token, but there is no key for ECB links", 404)
    NOT_WHOLE_BLOCKS = ("not a whole number of 16-byte blocks", 404)
    WRONG_KEY = ("decrypts to garbage: probably made with another key", 404)

    NO_JWE_KEY = ("JWE token, but there is no key for JWE links", 404)
    NOT_COMPACT = ("not a compact JWE with alg dir (RFC 7516, section 7.1)", 404)
    BAD_HEADER = ('JWE header is not {"alg":"dir","enc":"A256GCM"}', 404)
    NOT_AUTHENTIC = ("altered, or made with another key", 404)
    BAD_CLAIM = ("invalid claim: {}", 404)
    NOT_YET_VALID = ("not valid before {}", 404)
    EXPIRED = ("expired at {}", 410)

    NOT_UTF8 = ("path is not UTF-8", 404)
    CONTROL_CHARACTER = ("path contains a control character", 404)
    EMPTY_PATH = ("path is empty", 404)
    DIRECTORY = ("path ends with a slash, so it names a directory", 404)
    DOT_SEGMENT = ("path has a segment that starts with a dot", 404)
    PATH_TOO_LONG = ("path is longer than 4095 bytes", 404)
    SEGMENT_TOO_LONG = ("path has a segment longer than 255 bytes", 404)
    OUTSIDE_PREFIX = ("path is not below SHIM_PATH_PREFIX", 404)

    def __init__(self, sentence: str, status: int) -> None:
        self.code = self.name.lower()
        self.sentence = sentence
        self.status = status


class Refused(Exception):
    """A token that does not open, or a path that may not be served: the client needs
    another link.

    `str()` gives the sentence. It contains neither the token nor the path, so it may be
    logged.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.reason.sentence.replace("{}", self.detail)


class Misconfigured(RuntimeError):
    """Something that the operator has to put right.

    `problem` says what is wrong and where, `remedy` what to do. `str()` gives both in one
    line, without secrets. It is a RuntimeError because gunicorn reports one raised while
    the application loads as a line, not as a traceback.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem
