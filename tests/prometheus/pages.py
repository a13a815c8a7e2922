"""What docs/metrics.md, docs/alerts.md and the dashboard say, read so that it can be compared.

It must not know how anything is asked or started.
"""

import json
import re

from subject import ROOT

METRICS, ALERTS = ROOT / "docs" / "metrics.md", ROOT / "docs" / "alerts.md"
RULES = ROOT / "deploy" / "prometheus" / "portcullis.rules.yaml"
TESTS = ROOT / "deploy" / "prometheus" / "portcullis.rules.test.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "portcullis.json"

# Their values come from the configuration, the build, or HTTP.
OPEN_LABELS = {"route", "upstream", "issuer", "sni", "version", "header", "code", "kid", "sha256", "le"}
SEVERITIES = {"critical", "warning", "info"}
VARIABLES = {"$job": ".+", "$instance": ".+", "$route": ".+", "$__rate_interval": "20s"}
SELECTOR = re.compile(r"(?<![\w:])((?:portcullis_|process_|job[_:])[\w:]+|up)(\{[^}]*\})?(?![\w:({])")


def documented():
    """By name: the type, the labels, and the section in which their words stand."""
    found = {}
    for section in METRICS.read_text().split("\n### ")[1:]:
        heading, _, text = section.split("\n## ")[0].partition("\n")
        first = re.sub(r"\([^)]*\)", "", text.strip().split("\n\n")[0].replace("\n", " "))
        kind, _, labels = re.split(r"[.;]", first)[0].partition(":")
        found[heading.strip("`")] = (re.split(r"\W", kind)[0].lower(), set(re.findall(r"`(\w+)`", labels.split(":")[0])), text)
    return found


def served(scrapes):
    """By name: the type, and for each label its values, in what gateways served."""
    kinds, labels = {}, {}
    for line in "\n".join(scrapes).splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
            labels.setdefault(name, {})
        elif line and not line.startswith("#"):
            name, _, rest = line.partition("{")
            name = name.split()[0]
            if name not in kinds:
                name = re.sub(r"_(bucket|sum|count)$", "", name)
            for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', rest):
                labels[name].setdefault(label, set()).add(value)
    return {name: (kind, labels[name]) for name, kind in kinds.items()}


def differences(scrapes):
    """Between the page and what is served: names, types, labels, and words of closed lists."""
    page, real = documented(), served(scrapes)
    faults = [f"{name} is served and not in docs/metrics.md" for name in sorted(real.keys() - page.keys())]
    faults += [f"{name} is in docs/metrics.md and was not served" for name in sorted(page.keys() - real.keys())]
    for name in sorted(page.keys() & real.keys()):
        (said, said_labels, text), (kind, labels) = page[name], real[name]
        if said != kind:
            faults.append(f"{name} is a {kind}, docs/metrics.md says {said}")
        if said_labels != labels.keys() - {"le"}:
            faults.append(f"{name} has labels {sorted(labels.keys() - {'le'})}, docs/metrics.md says {sorted(said_labels)}")
        # "as above": of the metric that stands before it.
        words = text if "as above" not in text else METRICS.read_text()
        for label in labels.keys() - OPEN_LABELS:
            faults += [f"{name}: {label}={value!r} is not in docs/metrics.md" for value in sorted(labels[label])
                       if f"`{value}`" not in words]
    return faults


def alert_faults(rules):
    """Alerts without a test in each direction, a section, or what a reader needs. `rules`: as Prometheus tells them."""
    alerts = {rule["name"]: rule for rule in rules if rule["type"] == "alerting"}
    sections = set(re.findall(r"^## (\w+)$", ALERTS.read_text(), re.M))
    faults = [f"docs/alerts.md has no section {name}" for name in sorted(alerts.keys() - sections)]
    faults += [f"docs/alerts.md has a section {name}, and there is no such alert" for name in sorted(sections - alerts.keys())]
    # One form for all cases; one that is written otherwise counts as none, and is told.
    tests = TESTS.read_text()
    cases = re.findall(r"- { alertname: (\w+), eval_time: \w+, exp_alerts: \[(.*)$", tests, re.M)
    fires = {name for name, rest in cases if not rest}
    waits = {name for name, rest in cases if rest == "] }"}
    shown = set(re.findall(r"- expr: ([\w:]+)", tests))
    faults += [f"no test reads {rule['name']}" for rule in rules if rule["type"] == "recording" and rule["name"] not in shown]
    for name, rule in alerts.items():
        faults += [f"{name}: no test in which it {what}" for what, those in (("fires", fires), ("does not fire", waits))
                   if name not in those]
        if rule["labels"].get("severity") not in SEVERITIES:
            faults.append(f"{name}: severity is none of {sorted(SEVERITIES)}")
        said = rule["annotations"]
        faults += [f"{name}: no {what}" for what in ("summary", "description") if not said.get(what)]
        if said.get("runbook") != f"docs/alerts.md#{name.lower()}":
            faults.append(f"{name}: the runbook is {said.get('runbook')}")
    return faults


def panels():
    """Every panel that draws, with its questions in Prometheus' own words."""
    found = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            found.append((panel["title"], [plain(target["expr"]) for target in panel["targets"]]))
    return found


def plain(expression):
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def dashboard_faults():
    """What Grafana would draw wrongly without a word: places, ids, data sources, variables."""
    board = json.loads(DASHBOARD.read_text())
    faults, taken, ids = [], {}, set()
    known = {f"${one['name']}" for one in board["templating"]["list"]} | {"$__rate_interval"}
    for panel in board["panels"]:
        title, at = panel["title"], panel["gridPos"]
        if panel["id"] in ids:
            faults.append(f"{title}: its id is another's")
        ids.add(panel["id"])
        if at["x"] + at["w"] > 24:
            faults.append(f"{title}: it leaves the grid")
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if taken.setdefault(cell, title) != title:
                faults.append(f"{title}: it covers {taken[cell]}")
                break
        if panel["type"] == "row":
            continue
        if not panel.get("description") or not panel["fieldConfig"]["defaults"].get("unit"):
            faults.append(f"{title}: without a description or a unit")
        for target in panel["targets"]:
            if {one["uid"] for one in (panel["datasource"], target["datasource"])} != {"${datasource}"}:
                faults.append(f"{title}: its data source is not the variable")
            faults += [f"{title}: unknown variable {one}" for one in re.findall(r"\$\w+", target["expr"]) if one not in known]
            for name, braces in SELECTOR.findall(target["expr"]):
                if 'job=~"$job", instance=~"$instance"' not in braces:
                    faults.append(f"{title}: {name} does not follow the variables")
    return faults
