"""Parts from Debian's archive: unpacked into the cache, never installed. Kernels and user space for the QEMU boards, QEMU
itself where it is not installed, headers for the test-only flash module.

A package manager state of its own (no root, no foreign architectures in the system's). Versions are what the archive has."""
import fcntl
import os
import re
import shutil
import subprocess
import time
from functools import lru_cache
from pathlib import Path

CACHE = Path(os.environ.get("MOORLINE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moorline")
HOME = CACHE / "debian"
ARCHITECTURES = {"armv7": "armhf", "aarch64": "arm64"}
FLAVOURS = {"armv7": "armmp", "aarch64": "arm64"}
# The index is fetched anew when it is older than this, in seconds.
FRESH = 12 * 3600


class Unavailable(Exception):
    """A part that cannot be had, with the reason."""


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        raise Unavailable(f"{' '.join(map(str, command))}: {done.stdout[-2000:]}")
    return done.stdout


def sources():
    """Debian's own entries among the system's package sources; others need not have these architectures."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    lines = []
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text()
        if file.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.M))
                if "debian-archive" in fields.get("Signed-By", "") and "deb" in fields.get("Types", "").split():
                    signed = f"[signed-by={fields['Signed-By']}] "
                    for uri in fields["URIs"].split():
                        for suite in fields["Suites"].split():
                            lines.append(f"deb {signed}{uri} {suite} main")
        elif file.suffix == ".list":
            lines += [l for l in text.splitlines() if re.match(r"deb\s.*debian.*\smain\b", l)]
    if not lines:
        raise Unavailable("there is no Debian among the package sources of this machine")
    return "\n".join(dict.fromkeys(lines)) + "\n"


def apt(program, *words):
    state = HOME / "apt"
    options = {
        "APT::Architecture": "amd64",
        "Dir::State": state / "state",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": state / "none",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }
    line = [program, "-q"]
    for key, value in options.items():
        line += ["-o", f"{key}={value}"]
    for name in ("amd64", "armhf", "arm64"):
        line += ["-o", f"APT::Architectures::={name}"]
    return line + list(words)


def index():
    """The archive's index, not older than FRESH."""
    state = HOME / "apt"
    stamp = state / "stamp"
    if stamp.exists() and time.time() - stamp.stat().st_mtime < FRESH:
        return
    for name in ("state/lists/partial", "cache/archives/partial", "none"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "sources.list").write_text(sources())
    try:
        run(*apt("apt-get", "update"))
    except Unavailable as error:
        # A mirror in the middle of its own update lacks one index; whether that one matters shows when a package is asked for.
        print(f"debian: warning: the index is not complete: {str(error)[-400:]}", flush=True)
    stamp.touch()


def versions(packages):
    """PACKAGE=VERSION of each, as the archive would give them."""
    found = []
    text = run(*apt("apt-cache", "policy", *packages))
    for package in packages:
        name = package.removesuffix(":amd64")
        candidate = re.search(rf"^{re.escape(name)}(?::all)?:\n(?:.*\n)?\s*Candidate: (\S+)", text, re.M)
        if not candidate or candidate[1] == "(none)":
            raise Unavailable(f"the archive has no {package}")
        found.append(f"{package}={candidate[1]}")
    return found


def unpacked(name, packages):
    """A directory with these packages in it, of the versions the archive has now."""
    index()
    where, stamp = HOME / name, (HOME / "apt/stamp").stat().st_mtime_ns
    said, asked = where / ".versions", f"{stamp} {' '.join(packages)}"
    # Asked since the index was fetched: nothing can have changed.
    if said.exists() and (where / ".asked").exists() and (where / ".asked").read_text() == asked:
        return where
    wanted = versions(packages)
    if said.exists() and said.read_text() == " ".join(wanted):
        (where / ".asked").write_text(asked)
        return where
    part = HOME / f"{name}.part"
    for old in (where, part):
        shutil.rmtree(old, ignore_errors=True)
    (part / ".debs").mkdir(parents=True)
    run(*apt("apt-get", "download", *wanted), cwd=part / ".debs")
    for deb in sorted((part / ".debs").glob("*.deb")):
        run("dpkg", "-x", deb, part)
    shutil.rmtree(part / ".debs")
    (part / ".versions").write_text(" ".join(wanted))
    (part / ".asked").write_text(asked)
    part.rename(where)
    return where


@lru_cache
def kernel_release(isa):
    """Which kernel the archive's meta package stands for, such as 6.1.0-50-armmp."""
    index()
    text = run(*apt("apt-cache", "show", "--no-all-versions", f"linux-image-{FLAVOURS[isa]}:{ARCHITECTURES[isa]}"))
    found = re.search(r"^Depends:.*\blinux-image-(\S+)", text, re.M)
    if not found:
        raise Unavailable(f"the archive has no kernel for {isa}")
    return found[1].rstrip(",")


def kernel(isa):
    """Directory with boot/vmlinuz-RELEASE and lib/modules/RELEASE, and the release."""
    release = kernel_release(isa)
    return unpacked(f"kernel-{isa}", [f"linux-image-{release}:{ARCHITECTURES[isa]}"]), release


def userland(isa):
    """BusyBox, mdadm and mtd-utils with the libraries they need."""
    names = ["busybox-static", "mdadm", "mtd-utils", "libudev1", "libc6", "zlib1g", "liblzo2-2", "libzstd1", "libuuid1",
             "libssl3", "libcrypt1", "libselinux1", "libpcre2-8-0"]
    return unpacked(f"userland-{isa}", [f"{n}:{ARCHITECTURES[isa]}" for n in names])


def headers():
    """Kernel headers of both architectures, with a kernel build system that runs here."""
    names = []
    for isa in ARCHITECTURES:
        release = kernel_release(isa)
        common = release.rsplit("-", 1)[0]
        names += [f"linux-headers-{release}:{ARCHITECTURES[isa]}", f"linux-headers-{common}-common"]
    names.append("linux-kbuild-" + ".".join(kernel_release("aarch64").split(".")[:2]))
    where = unpacked("headers", list(dict.fromkeys(names)))
    for makefile in where.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text()
        moved = re.sub(r"include /usr/src/", f"include {where}/usr/src/", text)
        if moved != text:
            makefile.write_text(moved)
    for link in where.glob("usr/src/linux-headers-*/scripts"):
        if link.is_symlink():
            target = os.readlink(link)
            if target.startswith(("/usr", "../../lib")):
                link.unlink()
                link.symlink_to(where / "usr" / target.split("usr/", 1)[-1].removeprefix("../../"))
    return where


def qemu():
    """QEMU's programs for ARM: environment, directory of its data (or None), and a function from name to program."""
    if shutil.which("qemu-system-arm") and shutil.which("qemu-system-aarch64"):
        return dict(os.environ), None, lambda name: name
    # Unpacked: installing it can want to remove a newer qemu-utils.
    where = unpacked("qemu", ["qemu-system-arm", "qemu-system-common", "qemu-system-data", "libcapstone4", "libslirp0", "libpmem1",
                              "librdmacm1", "libibverbs1", "libvdeplug2", "libdaxctl1", "libndctl6", "libnl-3-200", "libnl-route-3-200",
                              "libfdt1", "libaio1", "libnuma1", "liburing2", "libfuse3-3", "libglib2.0-0", "libpixman-1-0",
                              "libzstd1", "libkmod2", "libpng16-16", "libjpeg62-turbo", "libsasl2-2", "libgnutls30"])
    libraries = [where / "usr/lib/x86_64-linux-gnu", where / "lib/x86_64-linux-gnu"]
    environment = dict(os.environ, LD_LIBRARY_PATH=":".join(map(str, libraries)))
    return environment, where / "usr/share/qemu", lambda name: str(where / "usr/bin" / name)


class Lock:
    """One fetcher at a time."""

    def __enter__(self):
        HOME.mkdir(parents=True, exist_ok=True)
        self.file = open(HOME / "lock", "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()
