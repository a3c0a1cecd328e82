#!/usr/bin/python3
"""Takes records by HTTP: collector.py PORT FILE. Writes each line that it has taken to FILE. What PORT/mode has beside FILE
says what it does: "take", "refuse" (503 with Retry-After), "hang", or "cut" (closes the connection in the middle)."""

import http.server
import pathlib
import sys
import time

port, file = int(sys.argv[1]), pathlib.Path(sys.argv[2])
mode = file.with_name("mode")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        does = mode.read_text().strip() if mode.exists() else "take"
        if self.headers.get("Authorization") != "Bearer a-token-of-the-collector":
            self.answer(401)
        elif does == "refuse":
            self.answer(503, ("Retry-After", "1"))
        elif does == "hang":
            time.sleep(600)
        elif does == "cut":
            self.close_connection = True
        else:
            with file.open("ab") as out:
                out.write(body)
            self.answer(204)

    def answer(self, status, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
