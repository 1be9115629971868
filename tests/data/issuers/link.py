# pip install joserfc
import base64
import sys
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from joserfc import jwt
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey


def ecb_token(key: bytes, path: str) -> str:
    raw = path.encode()
    padded = raw + bytes(-len(raw) % 16)
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return base64.urlsafe_b64encode(aes.update(padded) + aes.finalize()).decode()


def jwe_token(key: bytes, claims: dict[str, object]) -> str:
    header = {"alg": "dir", "enc": "A256GCM"}
    return jwt.encode(header, claims, OctKey.import_key(key), registry=JWERegistry())


# link.py KEY_FILE PATH [SECONDS FILENAME]
key_file, path, *options = sys.argv[1:]
with open(key_file) as file:
    key = bytes.fromhex(file.read().strip())
if len(key) != 32:
    sys.exit(f"{key_file}: expected one key of 64 hex digits")
if options:
    exp = int(time.time()) + int(options[0])
    print(jwe_token(key, {"path": path, "exp": exp, "filename": options[1]}))
else:
    print(ecb_token(key, path))
