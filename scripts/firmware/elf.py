"""What this project needs of ELF files: the sections of kernel modules and the libraries of programs."""
import struct


def sections(data):
    """Name, type, offset, size and link of each section; whether it is a 64-bit file."""
    wide = data[4] == 2
    at, = struct.unpack_from("<Q", data, 0x28) if wide else struct.unpack_from("<I", data, 0x20)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A if wide else 0x2E)
    found = []
    for n in range(count):
        if wide:
            name, kind, _, _, offset, length, link = struct.unpack_from("<IIQQQQI", data, at + n * size)
        else:
            name, kind, _, _, offset, length, link = struct.unpack_from("<IIIIIII", data, at + n * size)
        found.append((name, kind, offset, length, link))
    base = found[names][2]

    def text(offset):
        return data[base + offset:data.index(b"\0", base + offset)].decode()

    return [(text(name), kind, offset, length, link) for name, kind, offset, length, link in found], wide


def depends(module):
    """Modules that a kernel module needs, from its .modinfo."""
    for name, _, offset, length, _ in sections(module)[0]:
        if name == ".modinfo":
            for pair in module[offset:offset + length].split(b"\0"):
                if pair.startswith(b"depends="):
                    return [d.replace("-", "_") for d in pair[8:].decode().split(",") if d]
    return []


def libraries(program):
    """Shared libraries that a program or library names, and its loader."""
    if program[:4] != b"\x7fELF":
        return [], None
    table, wide = sections(program)
    names, loader = [], None
    for name, kind, offset, length, link in table:
        if name == ".interp":
            loader = program[offset:offset + length].rstrip(b"\0").decode()
        if kind == 6:  # SHT_DYNAMIC
            strings = table[link][2]
            for at in range(offset, offset + length, 16 if wide else 8):
                tag, value = struct.unpack_from("<QQ" if wide else "<II", program, at)
                if tag == 1:  # DT_NEEDED
                    names.append(program[strings + value:program.index(b"\0", strings + value)].decode())
    return names, loader
