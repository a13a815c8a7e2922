"""A collector of OpenTelemetry for tests: takes OTLP over HTTP, read with the official protobuf package, and tells the
spans that came as JSON to whoever asks for them.

    collector.py PORT
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SPANS, LOCK = [], threading.Lock()


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def told(attributes):
    return {pair.key: value(pair.value) for pair in attributes}


def plain(span, resource, scope):
    return {
        "trace": span.trace_id.hex(), "span": span.span_id.hex(), "parent": span.parent_span_id.hex(),
        "name": span.name, "kind": Span.SpanKind.Name(span.kind), "state": span.trace_state,
        "start": span.start_time_unix_nano, "end": span.end_time_unix_nano, "attributes": told(span.attributes),
        "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        "resource": told(resource.attributes), "scope": scope.name,
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if (self.path, self.headers["Content-Type"]) != ("/v1/traces", "application/x-protobuf"):
            return self.answer(400, "text/plain", b"no traces")
        request = ExportTraceServiceRequest.FromString(body)
        with LOCK:
            SPANS.extend(plain(span, of.resource, scope.scope)
                         for of in request.resource_spans for scope in of.scope_spans for span in scope.spans)
        self.answer(200, "application/x-protobuf", ExportTraceServiceResponse().SerializeToString())

    def do_GET(self):
        with LOCK:
            self.answer(200, "application/json", json.dumps(SPANS).encode())

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
