// An Express application that leaves logging in to the gateway.
//
//   node app.mjs
import express from "express";

const app = express();

// The user is whom the gateway names; what is not plain ASCII comes as %XX.
app.use((request, response, next) => {
  const name = request.get("X-Forwarded-User");
  request.user = name && { username: decodeURIComponent(name), id: request.get("X-Forwarded-User-Id") };
  next();
});

app.get("/", (request, response) => response.send(`Hello, ${request.user.username}.\n`));
app.get("/reports/", (request, response) => response.send("All is well.\n"));
app.get("/public/about", (request, response) => response.send("We make engines.\n"));

app.listen(3000, "127.0.0.1");
