// A page on another origin, in a real browser: logs in, calls the API, reads a 401 across CORS.
// A page on an origin that the gateway does not know can do none of it.
//
//   node browser.mjs BASE_URL USERNAME PASSWORD ALLOWED_ORIGIN STRANGER_ORIGIN
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [base, username, password, allowed, stranger] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "portcullis-browser-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

// What stands at an origin does not matter: the page's scripts are what is looked at.
const serve = (origin) =>
  createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html><title>app</title>"))
    .listen(new URL(origin).port, "127.0.0.1");
const servers = [serve(allowed), serve(stranger)];

async function visit(origin) {
  const page = await browser.newPage();
  await page.goto(origin);
  return page.evaluate(
    async ([base, username, password]) => {
      const ask = async (path, options = {}) => {
        try {
          const answer = await fetch(base + path, options);
          return { status: answer.status, body: await answer.json().catch(() => null) };
        } catch (error) {
          return { blocked: error.name };
        }
      };
      const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}` } });
      const login = await ask("/auth/token/login/", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ username, password }),
      });
      const token = login.body?.auth_token;
      return {
        login: login.blocked ? login : login.status,
        me: await ask("/auth/users/me/", bearer(token)),
        hello: await ask("/app/hello", bearer(token)),
        nobody: await ask("/app/hello"),
        unknown: await ask("/app/hello", bearer("0".repeat(40))),
      };
    },
    [base, username, password],
  );
}

try {
  const seen = await visit(allowed);
  assert.equal(seen.login, 200);
  assert.equal(seen.me.body.username, username);
  assert.equal(seen.hello.body.headers["x-forwarded-user"], username);
  assert.deepEqual(seen.nobody, {
    status: 401,
    body: { detail: "Authentication credentials were not provided." },
  });
  assert.deepEqual(seen.unknown, { status: 401, body: { detail: "Invalid token." } });

  const blocked = { blocked: "TypeError" };
  assert.deepEqual(await visit(stranger), {
    login: blocked, me: blocked, hello: blocked, nobody: blocked, unknown: blocked,
  });
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
  for (const server of servers) server.close();
}
console.log(username);
