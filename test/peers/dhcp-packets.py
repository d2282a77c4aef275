"""Packets that scapy makes, sent from a relay's port; replies as scapy reads them. Prints one JSON object per case."""
import json, socket, sys
from scapy.all import BOOTP, DHCP, conf

conf.verb = 0
SERVER, RELAY = sys.argv[1], sys.argv[2]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((RELAY, 67))
sock.settimeout(2)
MAC = bytes.fromhex("020000005501")
CIRCUIT = b"\x01\x04\xde\xad\xbe\xef\x02\x03abc"


def ask(name, payload):
    sock.sendto(payload, (SERVER, 67))
    try:
        reply = BOOTP(sock.recv(2000))
    except TimeoutError:
        print(json.dumps({"case": name, "reply": None}))
        return None
    options = {o[0]: o[1] for o in reply[DHCP].options if isinstance(o, tuple)}
    raw82 = options.get("relay_agent_information", options.get("relay_agent_Information", b""))
    print(json.dumps({"case": name, "reply": {1: "discover", 2: "offer", 5: "ack", 6: "nak"}.get(options["message-type"]),
                      "yiaddr": reply.yiaddr, "giaddr": reply.giaddr, "bytes": len(bytes(reply)),
                      "agent": str(raw82), "file": reply.file.rstrip(b"\0").decode(), "siaddr": reply.siaddr}))
    return reply


def packet(options, **fields):
    return BOOTP(op=1, chaddr=MAC, xid=0x55, giaddr=RELAY, **fields) / DHCP(options=options)


offer = ask("relay", bytes(packet([("message-type", "discover"), (82, CIRCUIT), "end"])))
wanted = offer.yiaddr if offer else "0.0.0.0"
ask("relay request", bytes(packet([("message-type", "request"), ("server_id", SERVER), ("requested_addr", wanted), (82, CIRCUIT), "end"])))
ask("wrong address", bytes(packet([("message-type", "request"), ("server_id", SERVER), ("requested_addr", "192.0.2.1"), "end"])))
ask("foreign server", bytes(packet([("message-type", "request"), ("server_id", "192.0.2.9"), ("requested_addr", wanted), "end"])))
# The vendor class stands in the file field, the architecture in sname; the class is split in two (RFC 3396).
overload = packet([("message-type", "discover"), (52, b"\x03"), (60, b"PXECl"), "end"])
overload.file = b"\x3c\x04ient\xff"
overload.sname = b"\x5d\x02\x00\x07\xff"
ask("overload and split", bytes(overload))
# An unconfigured relay in giaddr: nobody is to be a reflector.
stranger = packet([("message-type", "discover"), "end"])
stranger.giaddr = "198.51.100.1"
ask("strange relay", bytes(stranger))
