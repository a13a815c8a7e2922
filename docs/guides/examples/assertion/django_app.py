"""A Django application that believes a signature, not a header.

    python3 django_app.py runserver --noreload 127.0.0.1:3000
"""

import sys

import django
import jwt
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

settings.configure(SECRET_KEY="only for this example", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, USE_TZ=True,
                   MIDDLEWARE=[f"{__name__}.assertion"])
django.setup()

# Fetched when it is needed for the first time, and again for a key that is not in it.
keys = jwt.PyJWKClient("http://127.0.0.1:8000/.well-known/jwks.json")


def assertion(next_one):
    """Who asks stands in `request.asking`; without a good assertion nobody gets in."""

    def middleware(request):
        try:
            token = request.headers["X-Portcullis-Assertion"]
            key = keys.get_signing_key_from_jwt(token)
            request.asking = jwt.decode(token, key, algorithms=["ES256"], audience="app", issuer="portcullis")
        except (KeyError, jwt.PyJWTError):
            return HttpResponse("Not through the gateway.\n", "text/plain", status=403)
        return next_one(request)

    return middleware


def home(request):
    return HttpResponse(f"Hello, {request.asking['preferred_username']}.\n", "text/plain")


urlpatterns = [path("", home)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
