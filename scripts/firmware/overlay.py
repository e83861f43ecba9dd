"""The files that an image gets, and the archives of them. A tree is {path: (mode, bytes)}; directories follow from the paths,
everything belongs to root."""
import io
import os
import subprocess
import tarfile
from pathlib import Path, PurePosixPath


def date(top):
    """Seconds since 1970 for everything in an image: SOURCE_DATE_EPOCH, or the commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=top, capture_output=True, text=True)
    return int(done.stdout) if done.returncode == 0 else int((top / "Cargo.toml").stat().st_mtime)


def directory(root):
    """The files below `root`. Executable or not is all that is kept of their modes, and whether others may read them."""
    found = {}
    for file in sorted(Path(root).rglob("*")):
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise ValueError(f"{file}: only plain files and directories go into an image")
        if file.is_file():
            bits = file.stat().st_mode
            mode = 0o755 if bits & 0o111 else 0o644 if bits & 0o004 else 0o600
            found[str(file.relative_to(root))] = (mode, file.read_bytes())
    return found


def tree(top, init, binary, more):
    """Binary, configuration, init script, licences, and what the caller adds on top."""
    files = {"usr/sbin/moorline": (0o755, Path(binary).read_bytes())}
    for root in (top / "boards/overlay/common", top / "boards/overlay" / init):
        files |= directory(root)
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        files[f"usr/share/licenses/moorline/{name}"] = (0o644, (top / name).read_bytes())
    for root in more:
        if not Path(root).is_dir():
            raise ValueError(f"{root} is no directory")
        files |= directory(root)
    return dict(sorted(files.items()))


def directories(files):
    """All directories of a tree, parents first."""
    found = {}
    for name in files:
        for parent in reversed(PurePosixPath(name).parents):
            if str(parent) != ".":
                found[str(parent)] = None
    return list(found)


def write_tar(files, path, when):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted([*directories(files), *files]):
            entry = tarfile.TarInfo(f"./{name}")
            entry.mtime, entry.uname, entry.gname = when, "root", "root"
            if name in files:
                entry.mode, data = files[name]
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
            else:
                entry.mode, entry.type = 0o755, tarfile.DIRTYPE
                archive.addfile(entry)
    return path


def write_squashfs(tar, path, when):
    """By sqfstar(1), which takes modes and owners from the archive: no root needed. One processor, so that blocks keep their
    order."""
    path.unlink(missing_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    with open(tar, "rb") as archive:
        done = subprocess.run(
            ["sqfstar", "-reproducible", "-processors", "1", "-no-progress", "-quiet", "-mkfs-time", str(when), "-all-time", str(when),
             "-comp", "xz", "-root-mode", "0755", "-root-uid", "0", "-root-gid", "0", path],
            stdin=archive, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    if done.returncode:
        raise ValueError(f"sqfstar: {done.stdout}")
    return path
