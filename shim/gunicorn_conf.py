"""How gunicorn runs the endpoint: `gunicorn --config python:shim.gunicorn_conf`.

gunicorn's command line and GUNICORN_CMD_ARGS override every value (gunicorn's
documentation, "Configuration Overview").
"""

import gc
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

wsgi_app = "shim.app:create_app()"

# replaced by systemd's socket if systemd passes one
bind = "unix:/run/record-shim/record-shim.sock"

# a burst of links waits in the queue; the kernel lowers this to net.core.somaxconn
backlog = 65535

# Two workers per core: a sync worker spends almost half its time waiting for nginx to
# close the connection (gunicorn.util.close_graceful), and the other one uses the core
# meanwhile. At most 16: the unit's MemoryMax= has room for a reload of 16, which takes
# 27 MB per worker, because a worker that exits makes its own copy of all shared memory.
workers = min(2 * len(os.sched_getaffinity(0)), 16)

# a wrong key or setting stops gunicorn at its start, and the workers share memory
preload_app = True

# the longest token has 8000 characters; gunicorn's default limit for the line is 4094,
# and its maximum is 8190
limit_request_line = 8190

# no socket for gunicorn's administration tool (gunicornc), which nobody needs here
control_socket_disable = True

# stderr; the access log stays off, because it would contain the tokens
errorlog = "-"


# The garbage collector writes to every object it examines, and so would give each worker
# its own copy of the memory that all share: 15 MB a worker instead of 8. Frozen objects
# are not examined (Python's documentation, gc.freeze). Garbage is collected before, or
# every reload would keep some of it.
def pre_fork(server: "Arbiter", worker: "Worker") -> None:
    gc.collect()
    gc.freeze()


# gunicorn handles these two signals by raising an exception inside the request, and logs
# it with the request line, which contains the token. SIGABRT ends a worker that hangs.
def worker_abort(worker: "Worker") -> None:
    os._exit(1)


def worker_int(worker: "Worker") -> None:
    os._exit(0)
