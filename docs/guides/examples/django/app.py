"""A Django application that leaves logging in to the gateway.

    python3 app.py migrate
    python3 app.py runserver --noreload 127.0.0.1:3000
"""

import sys
from urllib.parse import unquote

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for this example",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "app.sqlite3"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        f"{__name__}.GatewayMiddleware",
    ],
    AUTHENTICATION_BACKENDS=[f"{__name__}.GatewayBackend"],
)
django.setup()

from django.contrib.auth.backends import RemoteUserBackend  # noqa: E402
from django.contrib.auth.middleware import RemoteUserMiddleware  # noqa: E402
from django.core.management import execute_from_command_line  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


class GatewayMiddleware(RemoteUserMiddleware):
    """The user is whom the gateway names."""

    header = "HTTP_X_FORWARDED_USER"


class GatewayBackend(RemoteUserBackend):
    """Makes a row for everybody who is seen for the first time."""

    def clean_username(self, username):
        return unquote(username)  # what is not plain ASCII comes as %XX


def home(request):
    return HttpResponse(f"Hello, {request.user.get_username()}.\n", "text/plain")


def reports(request):
    return HttpResponse("All is well.\n", "text/plain")


def about(request):
    return HttpResponse("We make engines.\n", "text/plain")


urlpatterns = [path("", home), path("reports/", reports), path("public/about", about)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
