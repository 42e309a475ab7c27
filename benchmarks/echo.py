"""Bare work beside a process Cog in Python: echoes msgpack in frames on descriptor 3, in one thread, and keeps nothing."""

from __future__ import annotations

import socket
import struct

import msgspec


def main() -> None:
    sock = socket.socket(fileno=3)
    read = sock.makefile("rb").read
    decode, encode = msgspec.msgpack.Decoder().decode, msgspec.msgpack.Encoder().encode
    length = struct.Struct(">I")
    while head := read(4):
        request = decode(read(*length.unpack(head)))
        body = encode({"id": request["id"], "result": {"status": "SUCCESS"}})
        sock.sendall(length.pack(len(body)) + body)


if __name__ == "__main__":
    main()
