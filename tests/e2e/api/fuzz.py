"""What Schemathesis has to be told: who it is, and what it may know.

It makes up requests by the API's description. Left alone it would never get past a login, for no password that it makes
up is right. So it has accounts, one of the staff among them; is logged in anew when it has logged itself out; and
finds what is right in some of its fields. Run by `case_api`, which says where the gateway is and what it is to take for
granted.
"""

import itertools
import json
import os
import random
import urllib.error
import urllib.request

import schemathesis

BASE = os.environ["PORTCULLIS"]
PASSWORD = os.environ["PORTCULLIS_PASSWORD"]
# Names of accounts that are there, with that password.
STAFF = os.environ["PORTCULLIS_STAFF"].split()
NUMBERS = itertools.count(1)


def ask(method, path, body=None, token=None):
    """Status and body of one request."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(BASE + path, json.dumps(body).encode() if body else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refused:
        return refused.code, None


class Person:
    """An account, and what it was given last."""

    def __init__(self, username):
        self.username = username
        self.is_there = self.log_in()

    def log_in(self):
        name = {"username": self.username, "password": PASSWORD}
        status, pair = ask("POST", "/jwt/create/", name)
        if status != 200:
            return False
        self.refresh, self.access = pair["refresh"], pair["access"]
        self.token = ask("POST", "/token/login/", name)[1]["auth_token"]
        self.id = ask("GET", "/users/me/", token=self.token)[1]["id"]
        self.logins = [one["id"] for one in ask("GET", "/users/me/logins/", token=self.token)[1]]
        return True

    def is_logged_in(self):
        """Logged in again where it has logged out; false where it is no more, or has another name."""
        if self.is_there and ask("GET", "/users/me/", token=self.token)[0] != 200:
            self.is_there = self.log_in()
        return self.is_there

    @classmethod
    def registered(cls):
        username = f"fuzzed{next(NUMBERS)}"
        fields = {"username": username, "email": f"{username}@example.com", "password": PASSWORD, "re_password": PASSWORD}
        ask("POST", "/users/", fields)
        return cls(username)


class Cast:
    """Somebody, and somebody of the staff. Who has removed or renamed itself gives way to the next."""

    def __init__(self):
        self.somebody, self.staff = Person.registered(), Person(STAFF.pop())
        self.caller, self.has_changed = self.somebody, False

    def next_caller(self):
        if self.has_changed:
            self.has_changed = False
            if not self.somebody.is_logged_in():
                self.somebody = Person.registered()
            while STAFF and not self.staff.is_logged_in():
                self.staff = Person(STAFF.pop())
        self.caller = random.choice([self.somebody, self.staff] if self.staff.is_there else [self.somebody])
        return self.caller


CAST = Cast()
# What is given to requests that are to carry a good token.
MARK = "to-be-a-token"


@schemathesis.auth(refresh_interval=None)
class Login:
    """Cases are made up long before they are sent: which token is good then is not known yet."""

    def get(self, _case, _context):
        return MARK

    def set(self, case, token, _context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """A good token, opaque or not, where one is to be; and now and then what is right in the place of what was made up."""
    caller = CAST.next_caller()
    if case.headers and case.headers.get("Authorization") == f"Bearer {MARK}":
        case.headers["Authorization"] = f"Bearer {random.choice([caller.token, caller.access])}"
    if random.random() < 0.5:
        return
    if isinstance(case.body, dict):
        name = f"fuzzed{next(NUMBERS)}" if "re_password" in case.body or random.random() < 0.1 else caller.username
        right = {"username": name, "new_username": name, "email": f"{name}@example.com", "password": PASSWORD,
                 "re_password": PASSWORD, "current_password": PASSWORD, "new_password": PASSWORD,
                 "refresh": caller.refresh, "token": caller.access}
        case.body = {field: right.get(field, value) for field, value in case.body.items()}
    if case.path_parameters:
        right = {"id": str(CAST.somebody.id), "sid": random.choice(caller.logins or ["0"])}
        case.path_parameters = {name: right.get(name, value) for name, value in case.path_parameters.items()}


@schemathesis.hook
def after_call(context, case, response):
    """A token may have ended with that."""
    if response.status_code == 401 or (response.status_code < 300 and case.method != "GET"):
        CAST.has_changed = True


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """djoser's own: where accounts are not activated by mail, asking for the mail again is 400 without a word. OpenAPI
    cannot say of a body that it may be missing, so the description says it in words."""
    is_silent = response.status_code == 400 and not response.content
    return not (is_silent and case.operation.label == "POST /users/resend_activation/")
