// The built-in pages, in a real browser: an activation, a forgotten password, a new username, each from the mail to
// the end by keyboard alone. Every page is looked at by axe in light and dark, on a narrow screen, and asks nobody else.
//
//   node pages.mjs BASE_URL MAIL_FOLDER
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";

const [base, mails] = process.argv.slice(2);
const OLD = "analytical-Engine-1843", NEW = "difference-Engine-1822";
const profile = mkdtempSync(join(tmpdir(), "portcullis-pages-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  viewport: { width: 320, height: 640 },
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
const foreign = [];
browser.on("request", (request) => {
  if (new URL(request.url()).origin !== base) foreign.push(request.url());
});
const page = await browser.newPage();
const refused = [];
page.on("console", (message) => {
  if (message.text().includes("Content Security Policy")) refused.push(message.text());
});

async function post(path, body) {
  const answer = await fetch(base + path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  return answer.status;
}

// The next mail that was not seen before; its link.
const seen = new Set();
async function link() {
  for (let tries = 0; tries < 200; tries++) {
    const name = readdirSync(mails).find((name) => name.endsWith(".eml") && !seen.has(name));
    if (name) {
      seen.add(name);
      const text = readFileSync(join(mails, name), "utf8").replaceAll("=\r\n", "").replaceAll("=3D", "=");
      return text.match(/http:\S+\/auth\/pages\/\S+\/\S+\/\S+\//)[0];
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("no mail came");
}

// What any page must be, whatever it is for.
async function inspect(title) {
  assert.equal(await page.locator("h1").textContent(), title);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document));
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), [], `${title}, ${colorScheme}`);
  }
  const [inside, outside] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(inside <= outside, `${title} scrolls sideways: ${inside} in ${outside}`);
}

// Tab by tab through the page, typing into inputs; Enter on the button.
async function type(values) {
  for (let stops = 0; stops < 20; stops++) {
    await page.keyboard.press("Tab");
    const [kind, name] = await page.evaluate(() => [document.activeElement.tagName, document.activeElement.id]);
    if (kind === "BUTTON") {
      await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
      return;
    }
    if (kind === "INPUT") {
      await page.keyboard.press("ControlOrMeta+A");
      await page.keyboard.type(values[name]);
    }
  }
  throw new Error("the button cannot be reached by keyboard");
}

try {
  assert.equal(await post("/auth/users/", { username: "ada", email: "ada@example.com", password: OLD, re_password: OLD }), 201);
  assert.equal(await post("/auth/token/login/", { username: "ada", password: OLD }), 400);
  await page.goto(await link());
  await inspect("Activate your account");
  await type({});
  await inspect("Your account is active");
  assert.equal(await post("/auth/token/login/", { username: "ada", password: OLD }), 200);

  await page.goto(`${base}/auth/pages/password/`);
  await inspect("Forgot your password?");
  await type({ email: "ada@example.com" });
  await inspect("Look into your mailbox");
  const reset = await link();
  await page.goto(reset);
  await inspect("Choose a new password");
  await type({ new_password: NEW, re_new_password: OLD });
  await inspect("Choose a new password");
  assert.match(await page.locator("[role=alert]").textContent(), /didn't match/);
  await type({ new_password: NEW, re_new_password: NEW });
  await inspect("Your password has been changed");
  assert.equal(await post("/auth/token/login/", { username: "ada", password: NEW }), 200);
  assert.equal(await post("/auth/token/login/", { username: "ada", password: OLD }), 400);
  await page.goto(reset);
  await type({ new_password: OLD, re_new_password: OLD });
  assert.match(await page.locator("[role=alert]").textContent(), /not good any more/);

  await page.goto(`${base}/auth/pages/username/`);
  await type({ email: "ada@example.com" });
  await page.goto(await link());
  await inspect("Choose a new username");
  await type({ new_username: "lovelace" });
  await inspect("Your username has been changed");
  assert.equal(await post("/auth/token/login/", { username: "lovelace", password: NEW }), 200);

  assert.deepEqual(foreign, [], "requests to others");
  assert.deepEqual(refused, [], "the policy refuses something of our own");
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log("ada");
