"""The process asleep while the world goes on; every topic flooded; the doctor beside the session."""
import json
import os
import re
import signal
import subprocess
import time

from cases import case
from world import BROKER, PORT, TOP, Failed, run


@case(back_within=1)
def frozen_and_forgotten(w):
    """the process is stopped for 25 s; meanwhile the broker restarts and the router forgets"""
    w.dns(), w.broker()
    yield
    w.agent.send_signal(signal.SIGSTOP)
    w.stop("broker")
    time.sleep(1)
    w.broker()
    run(*w.inside(w.router, "conntrack", "-F"), check=False)
    time.sleep(24)
    w.agent.send_signal(signal.SIGCONT)
    w.wait("the loss", lambda: not w.is_online(), 12)
    w.wait("the session", w.is_online, 3)
    yield 0


def publish(w, what, account, topic, line, qos):
    password = (w.where / f"broker/{account}.password").read_text().strip()
    command = (f"yes {line} | timeout 10 mosquitto_pub -h {BROKER} -p {PORT} --cafile {w.where}/broker/ca.pem "
               f"-u {account} -P {password} -q {qos} -t {topic} -l")
    w.start(what, w.net, "bash", "-c", command)


@case(stays_online=True, back_within=1)
def flood_everything(w):
    """all topics that the NAS listens to are flooded for ten seconds, mailboxes by strangers, with messages up to 15 KB"""
    w.dns(), w.broker()
    yield
    w.call("PUT", "/v1/users/anna", {})
    w.call("POST", "/v1/codes", {"user": "anna"})
    log = w.where / "broker/broker.log"
    topics = set()
    end = time.monotonic() + 5
    while not any("/p/" in t for t in topics) and time.monotonic() < end:
        time.sleep(0.1)
        topics = set(re.findall(r"\t(moorline/\S+) \(QoS", log.read_text()))
    if not any("/p/" in t for t in topics):
        raise Failed(f"no mailbox among {topics}")
    records = w.get("/v1/status")["store"]["records"]
    for number, topic in enumerate(sorted(topics)):
        account = "pairing" if "/p/" in topic else "nas"
        publish(w, f"flood-{number}", account, topic, "x" * (15_000 if number % 2 else 40), number % 2)
    slowest, end = 0, time.monotonic() + 10
    while time.monotonic() < end:
        began = time.monotonic()
        if not w.get("/v1/status")["cloud"]["online"]:
            raise Failed("the session was lost")
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.1)
    if slowest > 1:
        raise Failed(f"the control socket took {slowest:.1f} s")
    written = w.get("/v1/status")["store"]["records"] - records
    # Five wrong guesses burn a code, which is one record.
    if written > 1:
        raise Failed(f"strangers wrote {written} records to the flash")
    yield 0


def doctor(w, *words):
    binary = os.environ.get("MOORLINE_LAB_BINARY", TOP / "target/release/moorline")
    done = subprocess.run(w.inside(w.nas, binary, "doctor", "--json", *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=25)
    try:
        first = json.loads(done.stdout).get("first_failure")
    except ValueError as error:
        raise Failed(f"doctor {' '.join(map(str, words))}: exit {done.returncode}, {done.stdout[:200]} {done.stderr[:200]}") from error
    return first["code"] if first else "nothing"


@case(doctor="broker-refused", back_within=12)
def doctor_beside(w):
    """the doctor by the agent and without it, session up, then broker down: both say the same, and the session stays"""
    w.dns(), w.broker()
    yield
    ways = (("--socket", w.where / "control.sock"), ("--no-agent", "--config", w.where / "agent.toml"))
    connects = w.get("/v1/cloud")["counters"]["connects"]
    said = [doctor(w, *way) for way in ways]
    if said != ["nothing"] * 2:
        raise Failed(f"nothing is wrong, and the doctor says {said}")
    if w.get("/v1/cloud")["counters"]["connects"] != connects or not w.is_online():
        raise Failed("the doctor disturbs the session")
    w.stop("broker")
    w.wait("the loss", lambda: not w.is_online(), 10)
    said = [doctor(w, *way) for way in ways]
    if said != ["broker-refused"] * 2:
        raise Failed(f"the broker is down, and the doctor says {said}")
    yield 1
    w.broker()
