// A single-page app's usual way to stay logged in: on 401, refresh once and try again.
//
//   node axios_auth_refresh.mjs BASE_URL USERNAME PASSWORD
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import axios from "axios";

// The package's ES module lacks its `"type": "module"`, which older Node versions do not forgive.
const { createAuthRefresh } = createRequire(import.meta.url)("axios-auth-refresh");
const [base, username, password] = process.argv.slice(2);

const login = await axios.post(`${base}/auth/jwt/create/`, { username, password });
let { access, refresh } = login.data;
let refreshes = 0;

const app = axios.create({ baseURL: base });
app.interceptors.request.use((request) => {
  request.headers.Authorization = `Bearer ${access}`;
  return request;
});
createAuthRefresh(app, async () => {
  refreshes += 1;
  const answer = await axios.post(`${base}/auth/jwt/refresh/`, { refresh });
  access = answer.data.access;
});
const spoil = (token) => token.replace(/[^.]+$/, "AAAA");
const hello = async () => (await app.get("/app/hello")).data.headers["x-forwarded-user"];

assert.equal(await hello(), username);
assert.equal(refreshes, 0);

access = spoil(access); // as good as expired: the gateway answers 401
assert.equal(await hello(), username);
assert.equal(refreshes, 1);
assert.equal(await hello(), username);
assert.equal(refreshes, 1);

// With a refresh token that is none, the app ends up at its login page: one attempt, then 401.
[access, refresh] = [spoil(access), spoil(refresh)];
await assert.rejects(hello(), (error) => error.response.status === 401);
assert.equal(refreshes, 2);
console.log(username);
