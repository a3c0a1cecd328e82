"""internal_service.py ADDRESS: a service on UDP port 5555 that says who it is."""
import socket
import sys

service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
service.bind((sys.argv[1], 5555))
while True:
    service.sendto(b"an internal service", service.recvfrom(2048)[1])
