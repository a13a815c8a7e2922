"""A published client of this very API: it logs in with a form and e-mail as the login field.

    python3 session_client.py BASE_URL EMAIL PASSWORD
"""

import sys

import requests
import simplejwt_session

base, email, password = sys.argv[1:]
session = simplejwt_session.get_auth_session(email, password, base, "/auth/jwt/create/")
answer = session.get("/app/hello")
answer.raise_for_status()

try:
    simplejwt_session.get_auth_session(email, password + "x", base, "/auth/jwt/create/")
    sys.exit("a wrong password logged in")
except requests.HTTPError as refused:
    assert refused.response.status_code == 401, refused

session.headers["Authorization"] += "x"
assert session.get("/app/hello").status_code == 401

print(answer.json()["headers"]["x-forwarded-user"])
