"""paho-mqtt as its documents use it: subscribes whenever it is connected, prints what it gets. Usage: subscriber.py HOST PORT
DIRECTORY TOPIC; CA and password are in the directory."""
import sys
from pathlib import Path

import paho.mqtt.client as mqtt

HOST, PORT, DIRECTORY, TOPIC = sys.argv[1:]
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.tls_set(f"{DIRECTORY}/ca.pem")
client.username_pw_set("nas", Path(DIRECTORY, "nas.password").read_text().strip())
client.on_connect = lambda client, *_: client.subscribe(TOPIC)
client.on_message = lambda _, __, message: print(message.payload.decode(), flush=True)
client.connect(HOST, int(PORT), 10)
client.loop_forever()
