"""How gunicorn runs the endpoint: `gunicorn --config python:shim.gunicorn_conf`.

gunicorn's command line and GUNICORN_CMD_ARGS override every value (gunicorn's
documentation, "Configuration Overview").
"""

import os
from typing import Any

wsgi_app = "shim:create_app()"

# systemd's socket, when it hands one over, takes the place of this
bind = "unix:/run/record-shim/record-shim.sock"

# a crowd that comes at once waits; the kernel takes what net.core.somaxconn allows
backlog = 65535

# opening a token is all CPU and takes microseconds: a worker a core is enough, and 32 on
# whatever machine, for which the unit's MemoryMax= has room
workers = min(len(os.sched_getaffinity(0)), 32)

# a wrong key or setting stops gunicorn at its start, and workers share the memory
preload_app = True

# the longest token has 8000 characters; gunicorn's default line ends at 4094, and 8190
# is the most it takes
limit_request_line = 8190

# a root shell's tool (gunicornc): one more thing that listens, and nobody needs it
control_socket_disable = True

# stderr; the access log stays off: nginx keeps it, without the tokens
errorlog = "-"


# gunicorn answers these two signals with an exception in the midst of a request, and logs
# it with the request line, which holds the token. It aborts a worker that hangs.
def worker_abort(worker: Any) -> None:
    os._exit(1)


def worker_int(worker: Any) -> None:
    os._exit(0)
