// Redocly's linter without its command line, which brings a browser's worth of packages along.
//
//     node redocly.mjs RULES DESCRIPTION
import { formatProblems, getTotals, lint, loadConfig } from "@redocly/openapi-core";

const [rules, description] = process.argv.slice(2);
const config = await loadConfig({ configPath: rules });
const problems = await lint({ ref: description, config });
const totals = getTotals(problems);
formatProblems(problems, { format: "stylish", totals, version: "" });
if (totals.errors + totals.warnings > 0) process.exit(1);
console.log("no problems");
