// A back end in JavaScript that checks our tokens itself, against the public key set.
//
//   node jose.mjs BASE_URL USERNAME PASSWORD
import assert from "node:assert/strict";
import { createRemoteJWKSet, generateKeyPair, jwtVerify, SignJWT } from "jose";

const [base, username, password] = process.argv.slice(2);
const login = await fetch(`${base}/auth/jwt/create/`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ username, password }),
});
const { access, refresh } = await login.json();

const url = new URL("/.well-known/jwks.json", base);
const keys = createRemoteJWKSet(url);
const verify = (token) => jwtVerify(token, keys, { algorithms: ["ES256"] });
const { payload, protectedHeader } = await verify(access);
assert.equal(payload.token_type, "access");
assert.equal(protectedHeader.alg, "ES256");
assert.match(payload.user_id, /^[0-9]+$/);
assert.equal((await verify(refresh)).payload.token_type, "refresh"); // to be looked at by whoever verifies

// The set holds public keys only.
for (const key of (await (await fetch(url)).json()).keys) assert.equal("d" in key, false);

// Refused here and at the gateway: a claim changed, a signature of another key, no signature at all.
const [head, claims, signature] = access.split(".");
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const { privateKey } = await generateKeyPair("ES256");
const forged = [
  [head, encode({ ...payload, user_id: "2" }), signature].join("."),
  await new SignJWT(payload).setProtectedHeader(protectedHeader).sign(privateKey),
  [encode({ alg: "none", typ: "JWT" }), claims, ""].join("."),
];
const atTheGate = async (token) =>
  (await fetch(`${base}/app/hello`, { headers: { Authorization: `Bearer ${token}` } })).status;
assert.equal(await atTheGate(access), 200);
assert.equal(await atTheGate(refresh), 401);
for (const token of forged) {
  await assert.rejects(verify(token));
  assert.equal(await atTheGate(token), 401);
}
console.log(username);
