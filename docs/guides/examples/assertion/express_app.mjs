// An Express application that believes a signature, not a header.
//
//   node express_app.mjs
import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";

const app = express();

// Fetched when it is needed for the first time, and again for a key that is not in it.
const keys = createRemoteJWKSet(new URL("http://127.0.0.1:8000/.well-known/jwks.json"));

// Without a good assertion nobody gets in.
app.use(async (request, response, next) => {
  const token = request.get("X-Portcullis-Assertion") ?? "";
  const wanted = { algorithms: ["ES256"], audience: "app", issuer: "portcullis", typ: "assertion+jwt" };
  try {
    request.asking = (await jwtVerify(token, keys, wanted)).payload;
  } catch {
    return response.status(403).send("Not through the gateway.\n");
  }
  next();
});

app.get("/", (request, response) => response.send(`Hello, ${request.asking.preferred_username}.\n`));

app.listen(3000, "127.0.0.1");
