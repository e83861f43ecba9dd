"""What happens to the process: stopped, out of descriptors, flooded."""
import os
import resource
import shutil
import signal
import time

from namespaces import Call
from world import NAME, PORT, Failed

from . import case


@case(doctor="was-stopped", anywhere=True, back_within=3)
def frozen(w):
    """the process is stopped for forty seconds and goes on"""
    w.all()
    yield
    w.agent.send_signal(signal.SIGSTOP)
    time.sleep(40)
    w.agent.send_signal(signal.SIGCONT)
    yield 2


@case(doctor="box-resources", findings="box-resources", back_within=12)
def no_descriptors(w):
    """the process runs out of file descriptors, then the broker is restarted"""
    w.all()
    yield
    w.kept = Call(w.where / "control.sock", 25)
    w.get("/v1/cloud")
    limits = resource.prlimit(w.agent.pid, resource.RLIMIT_NOFILE)
    w.stop("broker")
    w.wait_loss()
    free = min(set(range(1000)) - {int(n) for n in os.listdir(f"/proc/{w.agent.pid}/fd")})
    resource.prlimit(w.agent.pid, resource.RLIMIT_NOFILE, (free, limits[1]))
    w.broker()
    yield 6
    resource.prlimit(w.agent.pid, resource.RLIMIT_NOFILE, limits)
    w.kept.close()
    w.kept = None


@case(doctor="message-flood", findings="message-flood", ebb_within=20, back_within=1)
def flood(w):
    """every topic of the NAS is flooded"""
    w.all()
    yield
    nas = w.get("/v1/status")["nas"]["id"]
    password = (w.where / "broker/nas.password").read_text().strip()
    for topic in ("echo", "knock"):
        # The publisher itself is what is started and stopped; what feeds it ends with it.
        command = (f"exec mosquitto_pub -h {NAME} -p {PORT} --cafile {w.where}/broker/ca.pem -u nas -P {password} "
                   f"-t moorline/n/{nas}/{topic} -l < <(exec timeout 30 yes flood)")
        (w.etc.parent / w.net).mkdir(exist_ok=True)
        (w.etc.parent / w.net / "resolv.conf").write_text("nameserver 198.51.100.53\n")
        w.launch(f"flood-{topic}", w.net, "bash", "-c", command)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        began = time.monotonic()
        w.get("/v1/status")
        if time.monotonic() - began > 1:
            raise Failed("the control socket does not answer within a second")
        time.sleep(0.2)
        if not w.is_online():
            raise Failed("the session was lost")
    yield 0
    for topic in ("echo", "knock"):
        w.stop(f"flood-{topic}")
    shutil.rmtree(w.etc.parent / w.net)
