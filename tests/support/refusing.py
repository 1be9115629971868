import contextlib
import re
from collections.abc import Iterator

import pytest

from shim.errors import Reason, Refused


@contextlib.contextmanager
def refuses(*reasons: Reason, detail: str = "") -> Iterator[None]:
    """Assert that the block refuses a token for one of `reasons`, in one line.

    `detail` is a pattern that the detail of the refusal starts with.
    """
    with pytest.raises(Refused) as refused:
        yield
    assert refused.value.reason in reasons
    assert re.match(detail, refused.value.detail)
    assert "\n" not in str(refused.value)
