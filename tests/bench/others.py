"""The programs that moorline is measured beside, and the machine that all of them share: what the benches have in common."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TOOLS = TOP / "target/bench"
RATHOLE = "0.5.0"
RATHOLE_BINARY = TOOLS / "rathole/bin/rathole"


class Missing(Exception):
    """Why a peer cannot be had here."""


def install(*words):
    """Runs an installer; its last words are the reason if it fails."""
    done = subprocess.run([str(w) for w in words], cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Missing((done.stdout.strip().splitlines() or ["no reason given"])[-1][:100])
    return done.stdout


def install_rathole():
    if not RATHOLE_BINARY.exists():
        # Not --locked: the locked `time` does not compile with today's Rust.
        install("cargo", "install", "--quiet", "--root", TOOLS / "rathole", "--target-dir", TOOLS / "rathole/build", "--version", RATHOLE, "rathole")
        shutil.rmtree(TOOLS / "rathole/build", ignore_errors=True)


def installed(names, peers):
    """Those that are here, and why others are not."""
    here, missing = [], {}
    for name in names:
        print(f"installing {name}", file=sys.stderr, flush=True)
        try:
            peers[name].install()
            here.append(name)
        except Missing as why:
            missing[name] = str(why)
            print(f"{name} is not installed: {why}", flush=True)
    return here, missing


def waited():
    """Seconds in which something on this machine waited for a core, the bench or others (pressure stall information)."""
    try:
        return int(re.search(r"some .* total=(\d+)", Path("/proc/pressure/cpu").read_text())[1]) / 1e6
    except OSError:
        return None
