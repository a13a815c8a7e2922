"""Message boundaries: hand-written vectors."""
from lib.checks import chunks, head, smuggle

Z = b"0\r\n\r\n"


def clte(*te):
    def build(c, inner, path, auth):
        body = Z + inner
        return head(c, path, auth, list(te) + [b"Content-Length: %d" % len(body)]) + body
    return build


def tecl(*te):
    def build(c, inner, path, auth):
        body = chunks(inner)
        return head(c, path, auth, list(te) + [b"Content-Length: %d" % (body.index(b"\r\n") + 2)]) + body
    return build


def cl(*lines):
    """Content-Length lines as given; %N is the length of the inner request."""
    def build(c, inner, path, auth):
        return head(c, path, auth, [ln.replace(b"%N", b"%d" % len(inner)) for ln in lines]) + inner
    return build


def chunked(make):
    def build(c, inner, path, auth):
        return head(c, path, auth, [b"Transfer-Encoding: chunked"]) + make(inner)
    return build


def rawlines(*lines, sep=b"\r\n"):
    def build(c, inner, path, auth):
        return sep.join([b"POST " + path + b" HTTP/1.1", b"Host: " + c.host] + auth + [ln.replace(b"%N", b"%d" % len(inner)) for ln in lines]) + sep + sep + inner
    return build


CASES = [
    smuggle("smuggle.clte_plain", clte(b"Transfer-Encoding: chunked")),
    smuggle("smuggle.tecl_plain", tecl(b"Transfer-Encoding: chunked")),
    smuggle("smuggle.te_space_before_colon", clte(b"Transfer-Encoding : chunked")),
    smuggle("smuggle.te_xchunked", clte(b"Transfer-Encoding: xchunked")),
    smuggle("smuggle.te_identity_then_chunked", tecl(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked")),
    smuggle("smuggle.te_obs_fold", clte(b"Transfer-Encoding:", b" chunked")),
    smuggle("smuggle.te_underscore", clte(b"Transfer_Encoding: chunked")),
    smuggle("smuggle.te_http10", lambda c, i, p, a: head(c, p, a, [b"Transfer-Encoding: chunked", b"Connection: keep-alive"], version=b"HTTP/1.0") + Z + i),
    smuggle("smuggle.cl_dup_differ", cl(b"Content-Length: 0", b"Content-Length: %N")),
    smuggle("smuggle.cl_plus", cl(b"Content-Length: +%N")),
    smuggle("smuggle.cl_comma", cl(b"Content-Length: 0, %N")),
    smuggle("smuggle.cl_negative", cl(b"Content-Length: -1")),
    smuggle("smuggle.cl_space_before_colon", cl(b"Content-Length : %N")),
    smuggle("smuggle.cl_zero_get_body", lambda c, i, p, a: head(c, p, a, [b"Content-Length: %d" % len(i)], method=b"GET") + i),
    smuggle("smuggle.bare_lf_lines", rawlines(b"Content-Length: %N", sep=b"\n")),
    smuggle("smuggle.chunk_ext_lf", chunked(lambda i: b"2;\nxx\r\n%x\r\n" % len(i) + i + b"\r\n0\r\n\r\n")),
    smuggle("smuggle.chunk_size_overflow", chunked(lambda i: b"10000000000000000\r\n" + i + b"\r\n0\r\n\r\n")),
    smuggle("smuggle.chunk_bare_lf", chunked(lambda i: b"%x\n" % len(i) + i + b"\n0\n\n")),
    smuggle("smuggle.trailer_cl", chunked(lambda i: b"0\r\nContent-Length: %d\r\n\r\n" % len(i) + i)),
    smuggle("smuggle.upgrade_then_request", lambda c, i, p, a: head(c, p, a, [b"Connection: Upgrade", b"Upgrade: foo"], method=b"GET") + i),
    smuggle("smuggle.pipelined_unauth", lambda c, i, p, a: head(c, p, a, [], method=b"GET") + i, want=2),
    smuggle("smuggle.expect_continue", lambda c, i, p, a: head(c, p, a, [b"Expect: 100-continue", b"Content-Length: %d" % len(i)]) + i),
]
