"""Where things are on a storage box."""

from ..tokens.keys import ECB, JWE

DIRECTORY = "/etc/record-shim"
KEY_FILES = {ECB: f"{DIRECTORY}/key", JWE: f"{DIRECTORY}/jwe-key"}
SETTINGS = f"{DIRECTORY}/settings"
MANIFEST = f"{DIRECTORY}/installed"
INSTALL_CONF = f"{DIRECTORY}/install.conf"
# the operator's own lines for the site's server block
NGINX_D = f"{DIRECTORY}/nginx.d"
# `record-shim stop` creates it
STOPPED = f"{NGINX_D}/00-stopped.conf"
STATE_DIR = "/var/lib/record-shim"
# what is needed to undo an install that is running or was interrupted
JOURNAL = f"{STATE_DIR}/journal"
# where an ACME client such as certbot puts its challenges
ACME_DIR = f"{STATE_DIR}/acme"
LOCK = "/run/record-shim.lock"
SITE = "/etc/nginx/conf.d/record-shim.conf"

UNITS = ("record-shim.socket", "record-shim.service")
SOCKET_UNIT, SERVICE_UNIT = UNITS
NGINX_UNIT = "nginx.service"
UNIT_FILES = {unit: f"/etc/systemd/system/{unit}" for unit in UNITS}

# what `systemctl enable` creates
WANTS = (
    f"/etc/systemd/system/sockets.target.wants/{SOCKET_UNIT}",
    f"/etc/systemd/system/multi-user.target.wants/{SERVICE_UNIT}",
)

SOCKET = "/run/record-shim/record-shim.sock"
CACHE_DIR = "/run/record-shim-cache"
LOG_DIR = "/var/log/nginx"
AUDIT_LOG = f"{LOG_DIR}/record-shim.log"
