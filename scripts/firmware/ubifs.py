"""UBIFS and UBI images by mtd-utils, the same bytes each time."""
import os
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

# struct ubifs_sb_node of fs/ubifs/ubifs-media.h: a common header of 24 bytes with the CRC-32 at 4, over everything from 8 on.
SB_NODE_SIZE, SB_UUID = 4096, 108


def write(files, base, when, page, block, count):
    """BASE.ubifs and BASE.ubi for NAND with this page and erase block size."""
    leb = block - 2 * page
    volume, image = base.with_suffix(".ubifs"), base.with_suffix(".ubi")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "root"
        root.mkdir()
        for name, (mode, data) in files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(mode)
        for file in [root, *root.rglob("*")]:
            os.utime(file, (when, when))
            if file.is_dir():
                file.chmod(0o755)
        run("mkfs.ubifs", "-r", root, "-m", page, "-e", leb, "-c", count, "-x", "zlib", "-U", "-o", volume)
        steady(volume, when)
        table = Path(place) / "ubi.ini"
        table.write_text(f"[moorline]\nmode=ubi\nimage={volume}\nvol_id=0\nvol_type=dynamic\nvol_name=moorline\nvol_flags=autoresize\n")
        run("ubinize", "-o", image, "-p", block, "-m", page, "-Q", when & 0x7FFFFFFF, table)
    return [volume, image]


def run(*command):
    words = [str(w) for w in command]
    environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    if done.returncode:
        raise ValueError(f"{' '.join(words)}: {done.stdout}")


def steady(volume, when):
    """mkfs.ubifs draws a random UUID: it becomes one that says when, and the node's checksum follows."""
    data = bytearray(volume.read_bytes())
    magic, = struct.unpack_from("<I", data, 0)
    if magic != 0x06101831 or data[20] != 6:  # UBIFS_NODE_MAGIC, UBIFS_SB_NODE
        raise ValueError(f"{volume} does not begin with a superblock")
    data[SB_UUID:SB_UUID + 16] = b"moorline" + struct.pack(">Q", when)
    struct.pack_into("<I", data, 4, zlib.crc32(data[8:SB_NODE_SIZE], 0) ^ 0xFFFFFFFF)
    volume.write_bytes(data)
