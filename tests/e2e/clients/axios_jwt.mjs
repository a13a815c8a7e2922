// The other usual way: refresh before the request, when the token's own expiry has passed.
//
//   node axios_jwt.mjs BASE_URL USERNAME PASSWORD
import assert from "node:assert/strict";
import axios from "axios";
import axiosJwt from "axios-jwt"; // CommonJS

const { applyAuthTokenInterceptor, setAuthTokens } = axiosJwt;
const [base, username, password] = process.argv.slice(2);

const kept = new Map();
const storage = {
  get: async (key) => kept.get(key) ?? null,
  set: async (key, value) => void kept.set(key, value),
  remove: async (key) => void kept.delete(key),
};
let refreshes = 0;
const app = axios.create({ baseURL: base });
applyAuthTokenInterceptor(app, {
  getStorage: () => storage,
  requestRefresh: async (refresh) => {
    refreshes += 1;
    return (await axios.post(`${base}/auth/jwt/refresh/`, { refresh })).data.access;
  },
});

const login = await axios.post(`${base}/auth/jwt/create/`, { username, password });
await setAuthTokens({ accessToken: login.data.access, refreshToken: login.data.refresh });
assert.equal((await app.get("/app/hello")).data.headers["x-forwarded-user"], username);
assert.equal(refreshes, 0);

// An access token whose `exp` lies behind us makes the library refresh on its own.
const unsigned = (exp) => `e30.${Buffer.from(JSON.stringify({ exp })).toString("base64url")}.x`;
await setAuthTokens({ accessToken: unsigned(1), refreshToken: login.data.refresh });
assert.equal((await app.get("/app/hello")).data.headers["x-forwarded-user"], username);
assert.equal(refreshes, 1);

// The library believes any `exp`; the gateway asks for a signature.
await setAuthTokens({ accessToken: unsigned(4e9), refreshToken: login.data.refresh });
await assert.rejects(app.get("/app/hello"), (error) => error.response.status === 401);
assert.equal(refreshes, 1);
console.log(username);
