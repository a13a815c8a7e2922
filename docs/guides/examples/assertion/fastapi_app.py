"""A FastAPI application that believes a signature, not a header.

    uvicorn fastapi_app:app --port 3000
"""

from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException

# Fetched when it is needed for the first time, and again for a key that is not in it.
keys = jwt.PyJWKClient("http://127.0.0.1:8000/.well-known/jwks.json")


def asking(x_portcullis_assertion: Annotated[str, Header()] = "") -> dict:
    """Who asks. Without a good assertion nobody gets in."""
    try:
        key = keys.get_signing_key_from_jwt(x_portcullis_assertion)
        return jwt.decode(x_portcullis_assertion, key, algorithms=["ES256"], audience="app", issuer="portcullis")
    except jwt.PyJWTError:
        raise HTTPException(403, "Not through the gateway.") from None


app = FastAPI()


@app.get("/")
def home(asking: Annotated[dict, Depends(asking)]) -> dict:
    return {"hello": asking["preferred_username"]}
