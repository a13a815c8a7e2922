"""A Django project as it is before the move: made with Django's own tools, told as JSON.

    python3 django_project.py DATABASE_URL SECRET_KEY PASSWORD

Makes its tables and some users, each with another hasher; opaque tokens, JWTs, an ended refresh token.
"""

import json
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings

URL, SECRET_KEY, PASSWORD = urlsplit(sys.argv[1]), sys.argv[2], sys.argv[3]
ENGINES = {"sqlite": "sqlite3", "postgres": "postgresql"}
HASHERS = ["PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "ScryptPasswordHasher", "MD5PasswordHasher"]

settings.configure(
    SECRET_KEY=SECRET_KEY,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "rest_framework.authtoken",
                    "rest_framework_simplejwt.token_blacklist"],
    DATABASES={"default": {
        "ENGINE": f"django.db.backends.{ENGINES[URL.scheme]}",
        "NAME": URL.path if URL.scheme == "sqlite" else URL.path.lstrip("/"),
        "HOST": URL.hostname or "", "PORT": URL.port or "", "USER": URL.username or "", "PASSWORD": URL.password or "",
    }},
    PASSWORD_HASHERS=[f"django.contrib.auth.hashers.{name}" for name in HASHERS],
)
django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402
from rest_framework_simplejwt.tokens import RefreshToken  # noqa: E402

call_command("migrate", verbosity=0)
editors = Group.objects.create(name="editors")
told = {}
for hasher in ["pbkdf2_sha256", "pbkdf2_sha1", "scrypt", "md5"]:
    user = User.objects.create_user(hasher, f"{hasher}@example.com")
    user.password = make_password(PASSWORD, hasher=hasher)
    user.save()
    user.groups.add(editors)
    refresh = RefreshToken.for_user(user)
    ended = RefreshToken.for_user(user)
    ended.blacklist()
    told[hasher] = {"id": user.id, "token": Token.objects.create(user=user).key, "refresh": str(refresh),
                    "access": str(refresh.access_token), "ended": str(ended)}
root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
bare = User.objects.create_user("bare", "bare@example.com")
gone = User.objects.create_user("gone", "gone@example.com", PASSWORD, is_active=False)
told |= {user.username: {"id": user.id} for user in (root, bare, gone)}
print(json.dumps(told))
