// A whole conversation with the gateway. Every path, field and answer is checked against the description.
import createClient from "openapi-fetch";
import type { paths } from "./portcullis.js";

const baseUrl = process.env.PORTCULLIS ?? "http://127.0.0.1:8000/auth";
const username = "ada";
const [password, next] = ["analytical-Engine-1843", "difference-Engine-1822"];

const auth = createClient<paths>({ baseUrl });

// A good answer is `data`, any other `error`; which bodies each may have is known.
const registered = await auth.POST("/users/", {
  body: { username, email: "ada@example.com", password, re_password: password },
});
if (!registered.data) throw new Error(JSON.stringify(registered.error));
console.log(`registered ${registered.data.username}`);

// An opaque token ends whenever one wants it to. From here on it goes along.
const login = await auth.POST("/token/login/", { body: { username, password } });
if (!login.data) throw new Error(JSON.stringify(login.error));
let token = login.data.auth_token;
auth.use({
  onRequest({ request }) {
    if (token) request.headers.set("Authorization", `Bearer ${token}`);
  },
});

const me = await auth.GET("/users/me/");
console.log(`this is ${me.data?.username}, ${me.data?.email}`);

const changed = await auth.PATCH("/users/me/", { body: { email: "countess@example.com" } });
console.log(`now at ${changed.data?.email}`);

const refused = await auth.POST("/users/set_password/", {
  body: { current_password: "a guess", new_password: next },
});
console.log(`a guess is ${refused.response.status}: ${JSON.stringify(refused.error)}`);

const renewed = await auth.POST("/users/set_password/", {
  body: { current_password: password, new_password: next },
});
console.log(`a new password is ${renewed.response.status}`);

// JWTs, for back ends that check them on their own. Nothing of the old login is sent.
token = "";
const pair = await auth.POST("/jwt/create/", { body: { username, password: next } });
if (!pair.data) throw new Error(JSON.stringify(pair.error));
const fresh = await auth.POST("/jwt/refresh/", { body: { refresh: pair.data.refresh } });
if (!fresh.data) throw new Error(JSON.stringify(fresh.error));
const good = await auth.POST("/jwt/verify/", { body: { token: fresh.data.access } });
console.log(`a fresh access token is ${good.response.status}`);

token = fresh.data.access;
const logins = await auth.GET("/users/me/logins/");
console.log(`logins: ${logins.data?.length}`);

// Logging out is final: no cache and no other gateway lets the token pass again.
const out = await auth.POST("/token/logout/");
console.log(`out is ${out.response.status}`);
const after = await auth.GET("/users/me/");
console.log(`afterwards it is ${after.response.status}: ${after.error?.detail}`);
