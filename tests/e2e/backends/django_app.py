"""A Django + DRF application behind the gateway, in one file.

/remote/whoami/  believes the gateway's header, as an app with RemoteUserBackend does.
/jwt/whoami/     checks the forwarded JWT itself, against the gateway's public key set.

    python3 django_app.py PORT KEY_SET_URL FOLDER
"""

import sys
from urllib.parse import unquote
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings

PORT, KEY_SET_URL, FOLDER = int(sys.argv[1]), sys.argv[2], sys.argv[3]

settings.configure(
    SECRET_KEY="only-for-this-test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER + "/app.sqlite3"}},
    AUTHENTICATION_BACKENDS=[f"{__name__}.GatewayBackend"],
    SIMPLE_JWT={"ALGORITHM": "ES256", "JWK_URL": KEY_SET_URL, "SIGNING_KEY": "", "VERIFYING_KEY": ""},
)
django.setup()

from django.contrib.auth.backends import RemoteUserBackend  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.authentication import RemoteUserAuthentication  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication  # noqa: E402


class GatewayBackend(RemoteUserBackend):
    def clean_username(self, username):
        return unquote(username)


class GatewayAuthentication(RemoteUserAuthentication):
    """The user that the gateway names; unknown ones are made at first sight."""

    header = "HTTP_X_FORWARDED_USER"


class Remote(APIView):
    authentication_classes = [GatewayAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response({
            "username": request.user.get_username(),
            "id": request.headers["X-Forwarded-User-Id"],
            "saw_credential": "Authorization" in request.headers,
            "known": sorted(User.objects.values_list("username", flat=True)),
        })


class Jwt(APIView):
    authentication_classes = [JWTStatelessUserAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response({"id": str(request.user.id)})


urlpatterns = [path("remote/whoami/", Remote.as_view()), path("jwt/whoami/", Jwt.as_view())]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    with make_server("127.0.0.1", PORT, get_wsgi_application(), handler_class=Quiet) as server:
        server.serve_forever()
