"""A FastAPI application that leaves logging in to the gateway.

    uvicorn app:app --port 3000
"""

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel


class User(BaseModel):
    id: int
    username: str


def user(x_forwarded_user: Annotated[str, Header()], x_forwarded_user_id: Annotated[int, Header()]) -> User:
    """Whom the gateway names. A request without its headers did not come through it: 422."""
    return User(id=x_forwarded_user_id, username=unquote(x_forwarded_user))  # what is not plain ASCII comes as %XX


app = FastAPI()


@app.get("/")
def home(user: Annotated[User, Depends(user)]) -> User:
    return user


@app.get("/reports/")
def reports() -> dict:
    return {"all": "well"}


@app.get("/public/about")
def about() -> dict:
    return {"we": "make engines"}
