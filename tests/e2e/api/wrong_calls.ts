// Calls that the compiler must refuse: where it does not, `@ts-expect-error` is itself the error. It is never run.
import createClient from "openapi-fetch";
import type { components, paths } from "./portcullis.js";

const auth = createClient<paths>({ baseUrl: "http://127.0.0.1:8000/auth" });

// @ts-expect-error: there is no such path
await auth.GET("/users/you/");
// @ts-expect-error: djoser's paths end with a slash
await auth.GET("/users/me");
// @ts-expect-error: an account is not shown by POST
await auth.POST("/users/me/", {});
// @ts-expect-error: registering needs the password once more
await auth.POST("/users/", { body: { username: "ada", password: "analytical-Engine-1843" } });
// @ts-expect-error: a name is a text
await auth.PATCH("/users/me/", { body: { username: 1 } });
// @ts-expect-error: which account?
await auth.GET("/users/{id}/", {});

const login = await auth.POST("/token/login/", { body: { username: "ada", password: "analytical-Engine-1843" } });
// @ts-expect-error: there may be no answer
login.data.auth_token;
// @ts-expect-error: that is how JWTs come
login.data?.access;

const me = await auth.GET("/users/me/");
// @ts-expect-error: a number is none of its texts
me.data?.email satisfies number | undefined;
// @ts-expect-error: accounts do not tell their passwords
type Password = components["schemas"]["Account"]["password"];
