#!/usr/bin/env python3
"""tls_name.py PORT SERVER SERVER-PORT NAME: what connects to PORT of the loopback goes to SERVER-PORT of SERVER over TLS, with
NAME asked for. coturn's client asks for no name by itself."""

import socket
import ssl
import sys
import threading


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def main():
    port, server, name = int(sys.argv[1]), (sys.argv[2], int(sys.argv[3])), sys.argv[4]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    listening = socket.create_server(("127.0.0.1", port))
    while True:
        client, _ = listening.accept()
        plain = socket.create_connection(server)
        try:
            secure = context.wrap_socket(plain, server_hostname=name)
        except OSError:
            client.close()
            continue
        for ends in ((client, secure), (secure, client)):
            threading.Thread(target=pump, args=ends, daemon=True).start()


main()
