"""Builds module/nasflash.c against Debian's headers of the kernel that is booted."""
import shutil
import subprocess
from pathlib import Path

from firmware import debian

HERE = Path(__file__).parent
COMPILERS = {"armv7": ("arm", "arm-linux-gnueabihf-", "gcc-12-arm-linux-gnueabihf"),
             "aarch64": ("arm64", "aarch64-linux-gnu-", "gcc-12-aarch64-linux-gnu")}


def build(isa):
    """The module as a file in the cache; built once for each kernel and source."""
    release = debian.kernel_release(isa)
    arch, prefix, package = COMPILERS[isa]
    source = (HERE / "module/nasflash.c").read_text()
    where = debian.HOME / f"nasflash-{release}"
    done = where / "nasflash.ko"
    if done.exists() and (where / "nasflash.c").read_text() == source:
        return done
    headers = debian.headers()
    subprocess.run([HERE.parent.parent / "scripts/install-deps", package, "make"], check=True)
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(HERE / "module", where)
    tree = headers / f"usr/src/linux-headers-{release}"
    debian.run("make", "-C", str(tree), f"M={where}", f"ARCH={arch}", f"CROSS_COMPILE={prefix}", f"CC={prefix}gcc-12", "modules")
    debian.run(f"{prefix}strip", "--strip-debug", str(done))
    return done
