#!/bin/bash
# link.sh KEY_FILE PATH
# For experiments only: -K shows the key to everyone who can list processes on this machine.
set -euo pipefail
key=$(cat "$1")
# openssl pads a short key with zero bytes
[[ $key =~ ^[0-9A-Fa-f]{64}$ ]] || { echo "$1: expected one key of 64 hex digits" >&2; exit 1; }
length=$(printf %s "$2" | wc -c)
{ printf %s "$2"; head -c $((-length & 15)) /dev/zero; } |
  openssl enc -aes-256-ecb -nopad -K "$key" |
  base64 -w 0 | tr '+/' '-_'
