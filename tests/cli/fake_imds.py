#!/usr/bin/env python3
"""Run a command beside an instance metadata service: fake_imds.py MODE COMMAND...

MODE: TYPE (answers, and says that instance type), "stop" (answers, and announces an end), "silent" (accepts and
says nothing), "v1" (gives no token). To be run in a network namespace of its own (unshare --net)."""
import http.server
import socket
import subprocess
import sys
import threading

ADDRESS = "169.254.169.254"
mode, command = sys.argv[1], sys.argv[2:]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "address", "add", ADDRESS + "/32", "dev", "lo"], check=True)
ANSWERS = {
    "/latest/meta-data/instance-type": "m5.large" if mode in ("stop", "v1") else mode,
    "/latest/meta-data/events/maintenance/scheduled": "[]",
}
if mode == "stop":
    ANSWERS["/latest/meta-data/spot/instance-action"] = '{"action": "terminate", "time": "2026-09-18T08:22:00Z"}'


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self):
        wanted = self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self.answer(403 if mode == "v1" or not wanted else 200, "the-token==")

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != "the-token==":
            self.answer(401)
        elif self.path in ANSWERS:
            self.answer(200, ANSWERS[self.path])
        else:
            self.answer(404, "<html>404</html>")

    def log_message(self, *_):
        pass


if mode == "silent":
    listener = socket.create_server((ADDRESS, 80))
else:
    server = http.server.ThreadingHTTPServer((ADDRESS, 80), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(subprocess.run(command, check=False).returncode)
