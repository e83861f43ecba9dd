"""UBIFS and UBI images by mtd-utils, the same bytes each time."""
import os
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

# fs/ubifs/ubifs-media.h. Every node has a common header of 24 bytes: magic, CRC-32 over everything from byte 8 on, sequence
# number, length, type. Offsets are from its start.
MAGIC, HEADER = 0x06101831, struct.Struct("<IIQIB")
INODE, PADDING, SUPERBLOCK = 0, 5, 6
SUPERBLOCK_UUID, INODE_CTIME, INODE_CTIME_NSEC = 108, 64, 84


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
        steady(volume, when, leb)
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


def steady(volume, when, leb):
    """mkfs.ubifs draws a random UUID and keeps the moment each file was made here: both become the image's date."""
    data = bytearray(volume.read_bytes())
    superblocks = 0
    for start in range(0, len(data), leb):
        at = start
        while at + HEADER.size <= min(start + leb, len(data)):
            magic, _, _, length, kind = HEADER.unpack_from(data, at)
            if magic != MAGIC or length < HEADER.size:
                break
            if kind == SUPERBLOCK:
                superblocks += 1
                data[at + SUPERBLOCK_UUID:at + SUPERBLOCK_UUID + 16] = b"moorline" + struct.pack(">Q", when)
            if kind == INODE:
                struct.pack_into("<Q", data, at + INODE_CTIME, when)
                struct.pack_into("<I", data, at + INODE_CTIME_NSEC, 0)
            if kind in (SUPERBLOCK, INODE):
                struct.pack_into("<I", data, at + 4, zlib.crc32(data[at + 8:at + length]) ^ 0xFFFFFFFF)
            skipped = struct.unpack_from("<I", data, at + 24)[0] if kind == PADDING else 0
            at += (length + skipped + 7) & ~7
    if superblocks != 1:
        raise ValueError(f"{volume} has {superblocks} superblocks")
    volume.write_bytes(data)
