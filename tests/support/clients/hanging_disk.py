"""Mounts a FUSE file system on its argument that never answers, until it is killed; prints its process id.

The kernel starts it (FUSE_INIT). Each later request is read, so not even SIGKILL ends a
process that waits for it, as with a network file system whose server is gone.
"""

import ctypes
import os
import struct
import sys

INIT = 26  # linux/fuse.h
mountpoint = sys.argv[1].encode()
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40755,user_id=0,group_id=0,allow_other"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"hanging", mountpoint, b"fuse", 0, options.encode()):
    raise OSError(ctypes.get_errno(), "mount")
while True:
    request = os.read(device, 1 << 20)
    _, opcode, unique, _ = struct.unpack_from("<IIQQ", request)
    if opcode == INIT:
        major, minor, readahead, _ = struct.unpack_from("<IIII", request, 40)
        # fuse_init_out
        answer = struct.pack(
            "<IIIIHHIIHH28x", 7, 31, readahead, 0, 8, 6, 1 << 16, 1, 16, 0
        )
        os.write(device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
        print(os.getpid(), flush=True)
