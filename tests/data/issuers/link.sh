#!/bin/bash
# link.sh KEY_FILE PATH
# -K shows the key to whoever can list processes here: for a try, not for an API.
set -euo pipefail
key=$(cat "$1")
# openssl fills a short key up with zeros
[[ $key =~ ^[0-9A-Fa-f]{64}$ ]] || { echo "$1: one key of 64 hex digits is wanted" >&2; exit 1; }
length=$(printf %s "$2" | wc -c)
{ printf %s "$2"; head -c $((-length & 15)) /dev/zero; } |
  openssl enc -aes-256-ecb -nopad -K "$key" |
  base64 -w 0 | tr '+/' '-_'
