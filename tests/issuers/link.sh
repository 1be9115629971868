#!/bin/bash
# link.sh KEY_FILE PATH
# -K shows the key to whoever can list processes here: for a try, not for an API.
set -euo pipefail
length=$(printf %s "$2" | wc -c)
{ printf %s "$2"; head -c $((-length & 15)) /dev/zero; } |
  openssl enc -aes-256-ecb -nopad -K "$(cat "$1")" |
  base64 -w 0 | tr '+/' '-_'
