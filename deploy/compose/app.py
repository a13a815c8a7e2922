"""The example application: says who the gateway says is asking. It has no login code."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class App(BaseHTTPRequestHandler):
    def do_GET(self):
        user = self.headers.get("X-Forwarded-User", "nobody")
        body = f"{self.path} is asked for by {user}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", 3000), App).serve_forever()
