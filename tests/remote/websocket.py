"""A WebSocket server and client, both by the websockets library: `serve PORT` and `talk URL SECONDS`. web.py starts them with a Python
that has it. The server answers a plain request to /poll/SECONDS after that long."""
import asyncio
import http
import json
import random
import sys
import time

from websockets.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.server import serve

MIB = 1 << 20
# What each says when it closes: an application's own code (RFC 6455, 7.4.2), and the reason.
SERVERS, CLIENTS = (4001, "the server has enough"), (4002, "the client has enough")
# No limit of the library is to end what is silent, and none of its own pings to break the silence.
PATIENT = {"max_size": 32 * MIB, "ping_interval": None, "ping_timeout": None, "close_timeout": 20}
closed = {}


async def poll(path, _headers):
    if path.startswith("/poll/"):
        seconds = path.split("/")[2]
        await asyncio.sleep(float(seconds))
        return http.HTTPStatus.OK, [("Content-Type", "text/plain")], f"news after {seconds} s".encode()
    return None


async def answer(socket, path):
    if path.startswith("/closed/"):
        # The other connection's end may still be on its way here.
        for _ in range(200):
            if path.split("/")[2] in closed:
                break
            await asyncio.sleep(0.05)
        return await socket.send(json.dumps(closed.get(path.split("/")[2])))
    try:
        async for message in socket:
            if message == "ping me":
                began = time.monotonic()
                await (await socket.ping(b"are you there?"))
                await socket.send(f"pong after {time.monotonic() - began:.3f} s")
            elif message == "close":
                return await socket.close(*SERVERS)
            else:
                await socket.send(message)
    except ConnectionClosed:
        pass  # Without the closing handshake: its code, 1006, is kept all the same.
    finally:
        closed[path.split("/")[2]] = socket.close_code, socket.close_reason


async def expect_close(socket, expected):
    try:
        await asyncio.wait_for(socket.recv(), 20)
        raise AssertionError("a message instead of the end")
    except ConnectionClosed:
        assert (socket.close_code, socket.close_reason) == expected, f"{socket.close_code} {socket.close_reason!r} instead of {expected}"


async def messages(url, name):
    """Of every size and both kinds, many under way at once; each ends the connection in its way."""
    chance = random.Random(name)
    sizes = [0, 1, 125, 126, 65535, 65536, MIB, 4 * MIB]
    binary = [chance.randbytes(size) for size in sizes]
    text = ["ä€𝄞"[chance.randrange(3)] * (size // 2) for size in sizes]
    sent = [m for pair in zip(binary, text) for m in pair]
    async with connect(f"{url}/echo/{name}", **PATIENT) as socket:
        async def send():
            for message in sent:
                await socket.send(message)
        sending = asyncio.create_task(send())
        for number, message in enumerate(sent):
            assert await socket.recv() == message, f"message {number} came back as another"
        await sending
        await asyncio.wait_for(await socket.ping(b"and you?"), 20)
        await socket.send("ping me")
        assert (await socket.recv()).startswith("pong after"), "no pong of ours"
        if name.endswith("server"):
            await socket.send("close")
            await expect_close(socket, SERVERS)
        else:
            await socket.close(*CLIENTS)
            assert (socket.close_code, socket.close_reason) == CLIENTS, f"closed with {socket.close_code}"
    async with connect(f"{url}/closed/{name}", **PATIENT) as socket:
        code, reason = json.loads(await socket.recv())
        expected = SERVERS if name.endswith("server") else CLIENTS
        assert (code, reason) == expected, f"the server saw {code} {reason!r}"
    return sum(len(m) if isinstance(m, bytes) else len(m.encode()) for m in sent)


async def silence(url, seconds, begun):
    async with connect(f"{url}/echo/silent", **PATIENT) as socket:
        await socket.send("before")
        assert await socket.recv() == "before"
        begun.set()
        await asyncio.sleep(seconds)
        # The server speaks first after it, then the client.
        began = time.monotonic()
        await socket.send("ping me")
        assert (await asyncio.wait_for(socket.recv(), 20)).startswith("pong after")
        took = time.monotonic() - began
        await socket.send(b"x" * MIB)
        assert await asyncio.wait_for(socket.recv(), 20) == b"x" * MIB
        await socket.send("close")
        await expect_close(socket, SERVERS)
        return took


async def talk(url, seconds):
    begun = asyncio.Event()
    silent = asyncio.create_task(silence(url, seconds, begun))
    await asyncio.wait_for(begun.wait(), 30)
    began = time.monotonic()
    # The same server has the other path's, too.
    port = url.rsplit(":", 1)[1]
    names = [f"{port}-{name}" for name in ("a-server", "b-client", "c-server", "d-client")]
    done = await asyncio.wait_for(asyncio.gather(*(messages(url, name) for name in names)), 120)
    print(f"{len(names)} WebSockets: {sum(done) / MIB:.0f} MiB there and back in {time.monotonic() - began:.1f} s, pings of both, the code of each close seen by the other", flush=True)
    took = await silent
    print(f"a WebSocket that was silent for {seconds:.0f} s works: ping, pong and an answer in {took * 1000:.0f} ms", flush=True)


async def main():
    if sys.argv[1] == "serve":
        async with serve(answer, "127.0.0.1", int(sys.argv[2]), process_request=poll, **PATIENT):
            await asyncio.Future()
    else:
        await talk(sys.argv[2], float(sys.argv[3]))


if __name__ == "__main__":
    asyncio.run(main())
