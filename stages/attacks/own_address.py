"""own_address.py ADDRESS: tells an address of the server's host that it has since a second ago from a
peer. `permitted`: CreatePermission was granted; `reached`: a datagram came to a service there."""
import json
import sys

import turn


def main():
    address = sys.argv[1]
    client = turn.Client(turn.Udp(turn.ATTACKER), "mallory")
    client.allocate()
    permitted = client.permit(address).succeeded
    reached = False
    if permitted:
        client.send_to(address, 5555, b"from outside")
        client.transport.socket.settimeout(1.0)
        try:
            reached = b"an internal service" in client.transport.socket.recv(2048)
        except TimeoutError:
            pass
    client.refresh(0)
    print(json.dumps({"permitted": int(permitted), "reached": int(reached)}))


main()
