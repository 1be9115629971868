"""Where things are on a storage box."""

from ..tokens.keys import ECB, JWE

DIRECTORY = "/etc/record-shim"
KEY_FILES = {ECB: f"{DIRECTORY}/key", JWE: f"{DIRECTORY}/jwe-key"}
SETTINGS = f"{DIRECTORY}/settings"
MANIFEST = f"{DIRECTORY}/installed"
SITE = "/etc/nginx/conf.d/record-shim.conf"

UNITS = ("record-shim.socket", "record-shim.service")
SOCKET_UNIT, SERVICE_UNIT = UNITS
NGINX_UNIT = "nginx.service"
UNIT_FILES = {unit: f"/etc/systemd/system/{unit}" for unit in UNITS}

SOCKET = "/run/record-shim/record-shim.sock"
CACHE_DIR = "/run/record-shim-cache"
LOG_DIR = "/var/log/nginx"
