"""The chart: linted, rendered with every values file and with bad ones, and every rendering looked at as a cluster would."""

import re
import shlex
import shutil
import tomllib

import yaml

from manifests import Fault, check, need, of_kind, only, parsed, ran, refused
from subject import ROOT

CHART = ROOT / "deploy" / "helm" / "portcullis"
GUIDE = ROOT / "docs" / "guides" / "kubernetes.md"
# All that the chart can make. With every switch on, each must appear somewhere.
KINDS = {"ConfigMap", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PersistentVolumeClaim",
         "PodDisruptionBudget", "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor"}
SHARED = "secrets.databaseUrl.name=a,secrets.secretKey.name=a"
# Values that must be refused, and what is said.
REFUSED = {
    "replicaCount=2": "several replicas need PostgreSQL",
    "autoscaling.enabled=true": "several replicas need PostgreSQL",
    "secrets.databaseUrl.name=a": "secrets.secretKey.name",
    "sidecar.enabled=true": "sidecar.containers",
    "ingress.enabled=true": "ingress.hosts",
    "httpRoute.enabled=true": "httpRoute.parentRefs",
    f"{SHARED},autoscaling.enabled=true,autoscaling.minReplicas=5,autoscaling.maxReplicas=4": "more than maxReplicas",
    "replicacount=1": "replicacount",
    "image.tags=1": "tags",
    "service.port=70000": "/service/port",
    "shutdown.drainSeconds=30s": "/shutdown/drainSeconds",
}


def run(report, tools, program, room):
    helm = tools("helm")

    def rendered(*arguments):
        return parsed(ran([helm, "template", "gate-test", CHART, "--namespace", "auth", *arguments]))

    with report.case("helm: lint --strict, with the default values"):
        ran([helm, "lint", "--strict", CHART])
    with report.case("helm: the chart is of the program's version"):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        need(chart["appVersion"] == tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"], "appVersion differs")

    cases = {"default values": [], **{path.name: ["--values", path] for path in sorted((CHART / "ci").glob("*.yaml"))}}
    seen = set()
    for number, (name, arguments) in enumerate(cases.items()):
        with report.case(f"helm: {name}"):
            if arguments:
                ran([helm, "lint", "--strict", CHART, *arguments])
            resources = rendered(*arguments)
            seen |= {one["kind"] for one in resources}
            place = room / f"case-{number}"
            place.mkdir()
            check(resources, program, place)
    with report.case("helm: the cases render everything that the chart can"):
        need(seen == KINDS, f"not rendered, or not known here: {sorted(seen ^ KINDS)}")
        unset = without_case(yaml.safe_load((CHART / "values.yaml").read_text()), cases)
        need(not unset, f"values that no case sets: {unset}")

    for values, words in REFUSED.items():
        with report.case(f"helm: refuses {values}"):
            refused([helm, "template", "gate-test", CHART, "--set", values], words)
    with report.case("helm: a configuration with a misspelt key is found out"):
        place = room / "misspelt"
        place.mkdir()
        resources = rendered("--set", "config=[server]\nlisten_on = \"nowhere\"")
        try:
            check(resources, program, place)
        except Fault as fault:
            need("listen_on" in str(fault), str(fault))
        else:
            raise Fault("it was taken")
    with report.case("helm: the sidecar is there before the gateway, and after it"):
        pod = only(rendered("--values", CHART / "ci/sidecar.yaml"), "Deployment")["spec"]["template"]["spec"]
        need([one["restartPolicy"] for one in pod["initContainers"]] == ["Always"], "the application is no native sidecar")
        need(not any("ports" in one for one in pod["initContainers"]), "the application has a port of its own")
    with report.case("helm: a changed configuration replaces the pods, unless told otherwise"):
        sums = [only(rendered("--set", f"config=# {text}", *more), "Deployment")["spec"]["template"]["metadata"]["annotations"].get("checksum/config")
                for text, more in (("a", ()), ("b", ()), ("a", ("--set", "restartOnChange=false")))]
        need(sums[0] and sums[1] and sums[0] != sums[1] and sums[2] is None, f"sums: {sums}")
    with report.case("helm: long names are cut to what Kubernetes takes"):
        names = {one["metadata"]["name"] for one in rendered("--set", "fullnameOverride=" + "n" * 60)}
        need(all(len(name) <= 63 for name in names), f"too long: {names}")
    with report.case("helm: dashboards that lie in the chart become ConfigMaps"):
        dashboards(helm, room)
    with report.case("helm: the alerts are ones that Prometheus takes"):
        for path in sorted((CHART / "files/alerts").glob("*.yaml")):
            ran([tools("promtool"), "check", "rules", path])
        resources = rendered("--set", "prometheusRule.enabled=true")
        rules = room / "rules.yaml"
        rules.write_text(yaml.safe_dump(only(resources, "PrometheusRule")["spec"]))
        need("SUCCESS" in ran([tools("promtool"), "check", "rules", rules]), "promtool")
    with report.case("helm: the guide's commands render"):
        guide(helm, room, program)
    with report.case("helm: the package holds what it needs and not its cases"):
        ran([helm, "package", CHART, "--destination", room])
        [package] = room.glob("portcullis-*.tgz")
        listed = ran(["tar", "-tzf", package])
        need("values.schema.json" in listed and "files/alerts/" in listed and "/ci/" not in listed, listed)
        ran([helm, "template", "x", package])


def without_case(defaults, cases):
    """Names of the first level that no values file sets: nothing would show that they work."""
    said = set()
    for arguments in cases.values():
        for path in arguments[1:]:
            said |= set(yaml.safe_load(path.read_text()))
    # Tuned by operators, of one shape, and rendered with their defaults in every case.
    shown = {"listenAddress", "persistence", "podDisruptionBudget", "resources", "podSecurityContext", "securityContext",
             "livenessProbe", "readinessProbe", "startupProbe"}
    return sorted(set(defaults) - said - shown)


def dashboards(helm, room):
    chart = room / "with-dashboards"
    shutil.copytree(CHART, chart)
    (chart / "files/dashboards").mkdir(exist_ok=True)
    (chart / "files/dashboards/probe.json").write_text('{"title": "{{ not a template }}"}\n')
    resources = parsed(ran([helm, "template", "x", chart, "--set", "dashboards.enabled=true"]))
    found = [one for one in of_kind(resources, "ConfigMap") if "probe.json" in one["data"]]
    need(len(found) == 1 and found[0]["metadata"]["labels"]["grafana_dashboard"] == "1", "no ConfigMap for it")
    need(found[0]["data"]["probe.json"].strip() == '{"title": "{{ not a template }}"}', found[0]["data"]["probe.json"])
    need(len(of_kind(parsed(ran([helm, "template", "x", chart])), "ConfigMap")) == 1, "there without being asked for")


def guide(helm, room, program):
    """`helm upgrade --install NAME deploy/helm/portcullis …` as the guide shows it, rendered instead of installed."""
    text = GUIDE.read_text()
    for name, body in re.findall(r"^```yaml (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (room / name).write_text(body)
    commands = re.findall(r"^helm upgrade --install (.*(?:\\\n.*)*)", text, re.MULTILINE)
    need(commands, "the guide installs nothing")
    for number, command in enumerate(commands):
        words = [word for word in shlex.split(command) if word not in ("--create-namespace", "--wait")]
        need(words[1] == "deploy/helm/portcullis", f"another chart: {command}")
        place = room / f"guide-{number}"
        place.mkdir()
        check(parsed(ran([helm, "template", words[0], CHART, *words[2:]], cwd=room)), program, place)
