"""Path confusion."""
from lib.checks import path, refused


def top(p):
    return p.split(b"/")[1]


CASES = [
    path("path.dotdot", lambda c: b"/public/.." + c.protected, needs=["public"]),
    path("path.dotdot_encoded", lambda c: b"/public/%2e%2e" + c.protected, needs=["public"]),
    path("path.double_slash", lambda c: b"/" + c.protected),
    path("path.percent_first_letter", lambda c: b"/%" + b"%02x" % c.protected[1] + c.protected[2:]),
    path("path.backslash", lambda c: b"/public\\.." + c.protected.replace(b"/", b"\\"), needs=["public"]),
    path("path.semicolon_dotdot", lambda c: b"/public/..;" + c.protected, needs=["public"]),
    path("path.encoded_slash", lambda c: b"/public%2f.." + c.protected, needs=["public"]),
    path("path.absolute_form", lambda c: b"http://127.0.0.1" + c.protected),
    path("path.fragment", lambda c: c.protected + b"#" + (c.public or b"/public")),
    path("path.nul", lambda c: c.protected + b"%00" + (c.public or b"/public")),
    path("path.question_public", lambda c: c.protected + b"?" + (c.public or b"/public")),
    path("path.prefix_sibling", lambda c: b"/" + top(c.public) + b"x/..%2f" + c.protected[1:], needs=["public"]),
    path("path.auth_prefix_sibling", lambda c: b"/auth/.." + c.protected),
    path("path.admin_double_slash", lambda c: b"/" + c.admin, who="user"),
    path("path.admin_dotdot", lambda c: c.protected + b"/../.." + c.admin, who="user"),
    path("path.admin_encoded", lambda c: b"/%" + b"%02x" % c.admin[1] + c.admin[2:], who="user"),
    path("path.admin_plain", lambda c: c.admin, who="user"),
    path("path.admin_case", lambda c: c.admin.upper(), who="user", level="should"),
    path("path.double_encoded", lambda c: b"/public/%252e%252e" + c.protected, needs=["public"], far=True),
    # the contract: these are refused with 400 by default, on every route, whoever asks
    refused("path.refused_semicolon", lambda c: [c.protected + b";a=1", b"/x;/y", b"/auth/users/;x"]),
    refused("path.refused_encoded_slash", lambda c: [c.protected + b"%2fx", b"/x%2Fy"]),
    refused("path.refused_backslash", lambda c: [c.protected + b"\\x", c.protected + b"%5cx", c.protected + b"%5Cx"]),
    refused("path.refused_double_slash", lambda c: [b"/" + c.protected, c.protected + b"//x", b"/auth//users/"]),
    refused("path.refused_dots", lambda c: [c.protected + b"/./x", c.protected + b"/../x", c.protected + b"/%2e%2e/x", c.protected + b"/.%2E/x", c.protected + b"/.."]),
    refused("path.refused_twice_encoded", lambda c: [c.protected + b"%252fx", c.protected + b"%255cx", c.protected + b"%253bx", c.protected + b"/%252e%252e/x"]),
    refused("path.refused_on_public", lambda c: [c.public + t for t in (b";x", b"%2fx", b"%5cx", b"//x", b"/./x", b"/%2e./x", b"%252fx", b"/%252e%252e/x")], needs=["public"]),
]
