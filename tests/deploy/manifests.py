"""What manifests must be, whoever rendered them: valid for several Kubernetes versions, restricted, and whole by themselves.

Valid is for the schemas of Kubernetes to say; kinds that it does not know are held by schemas of our own, by name.
Whole means: what is mounted, selected and referred to is there, and the configuration in it is one that the gateway takes.
It must not know which tool rendered them.
"""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from servers import Trouble
from subject import ROOT

# The oldest that the chart allows, and newer ones up to the newest that there are schemas for.
KUBERNETES = ["1.29", "1.31", "1.33", "1.35", "1.37"]
CUSTOM = {"HTTPRoute", "PrometheusRule", "ServiceMonitor"}
# What a Secret would hold, by the name of the file that it becomes.
SECRETS = {
    "secret_key": "0123456789abcdef0123456789abcdef",
    "database_url": "postgres://portcullis:password@database/portcullis",
    "database_direct_url": "postgres://portcullis:password@database:5433/portcullis",
    "redis_url": "rediss://:password@redis:6379/0",
    "mail_url": "smtp://portcullis:password@mail:587",
    "jwt_signing_key": "fedcba9876543210fedcba9876543210",
    "partner": "00112233445566778899aabbccddeeff",
}
TLS = ROOT / "tests" / "data" / "tls"
PLAIN = {"redis-ca.crt": TLS / "localhost.crt", "tls.crt": TLS / "localhost.crt", "tls.key": TLS / "localhost.key"}


class Fault(Trouble):
    """Said as it is, without a traceback."""


def need(right, text):
    if not right:
        raise Fault(text)


def ran(command, wanted=0, **options):
    """What a program printed; a fault if it ends otherwise than wanted."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)
    if done.returncode != wanted:
        raise Fault(f"{' '.join(map(str, command))}\nended with {done.returncode}, not {wanted}:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def refused(command, words, **options):
    """A program must fail, and say these words."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)
    said = done.stdout + done.stderr
    if done.returncode == 0 or words not in said:
        raise Fault(f"{' '.join(map(str, command))}\nwas to be refused with {words!r}; ended with {done.returncode}:\n{said}".rstrip())


def parsed(text):
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(resources, kind):
    return [one for one in resources if one["kind"] == kind]


def only(resources, kind):
    found = of_kind(resources, kind)
    need(len(found) == 1, f"one {kind} is expected, there are {len(found)}")
    return found[0]


def check(resources, program, room):
    """Everything this module knows. `room`: an empty folder."""
    need(resources, "nothing was rendered")
    valid(resources)
    names = [(one["kind"], one["metadata"]["name"]) for one in resources]
    need(len(names) == len(set(names)), f"a name is there twice: {names}")
    for deployment in of_kind(resources, "Deployment"):
        restricted(deployment)
        joined(deployment, resources)
        settings = configuration(deployment, resources, program, room)
        ends_in_time(deployment, settings)
        probed(deployment, settings)


def valid(resources):
    """Every version is asked about every resource; a kind that none knows must be one of ours."""
    for one in resources:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] in CUSTOM:
            schema = json.loads((ROOT / "tests/deploy/schemas" / f"{one['kind']}.json").read_text())
            faults = list(jsonschema.Draft202012Validator(schema).iter_errors(one))
            need(not faults, "\n".join(f"{name}: {fault.json_path}: {fault.message}" for fault in faults))
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as fault:
                raise Fault(f"{name}, Kubernetes {version}: {'.'.join(map(str, fault.path))}: {fault.message}") from None
            except kubernetes_validate.SchemaNotFoundError as fault:
                raise Fault(f"{name}: {fault.message}; a kind of others needs a schema in tests/deploy/schemas") from None


def containers(deployment):
    pod = deployment["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


def gateway(deployment):
    found = [one for one in deployment["spec"]["template"]["spec"]["containers"] if one["name"] == "portcullis"]
    need(found, "no container `portcullis`")
    return found[0]


def restricted(deployment):
    """Kubernetes' own pod security standard "restricted", and what we promise beyond it."""
    pod = deployment["spec"]["template"]["spec"]
    context = pod["securityContext"]
    need(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, "the pod may run as root")
    need(context.get("seccompProfile") == {"type": "RuntimeDefault"}, "no seccomp profile")
    need(pod.get("automountServiceAccountToken") is False, "the pod gets a token for the API server")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        need(not pod.get(field), field)
    for one in containers(deployment):
        own = one.get("securityContext", {})
        need(own.get("allowPrivilegeEscalation") is False, f"{one['name']}: allowPrivilegeEscalation")
        need(own.get("capabilities", {}).get("drop") == ["ALL"] and not own["capabilities"].get("add"), f"{one['name']}: capabilities")
        need(not own.get("privileged"), f"{one['name']}: privileged")
        need(not any("hostPort" in port for port in one.get("ports", [])), f"{one['name']}: hostPort")
    need(gateway(deployment)["securityContext"].get("readOnlyRootFilesystem") is True, "the gateway's root can be written")
    need("requests" in gateway(deployment)["resources"], "the gateway asks for no resources")
    mounts = {mount["name"]: mount for mount in gateway(deployment)["volumeMounts"]}
    for volume in pod["volumes"]:
        need(set(volume) - {"name"} <= {"configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim"}, f"volume {volume}")
        if set(volume) & {"configMap", "secret", "projected"} and volume["name"] in mounts:
            need(mounts[volume["name"]].get("readOnly") is True, f"{volume['name']} is mounted to be written")


def joined(deployment, resources):
    """Names that must meet: labels and selectors, ports, volumes, the account, the target of scaling."""
    template = deployment["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"]

    def selects(selector):
        return selector.items() <= labels.items()

    need(selects(deployment["spec"]["selector"]["matchLabels"]), "the Deployment does not select its own pods")
    declared = {volume["name"] for volume in pod["volumes"]}
    for one in containers(deployment):
        used = {mount["name"] for mount in one.get("volumeMounts", [])}
        need(used <= declared, f"{one['name']} mounts volumes that are not there: {used - declared}")
    ports = {port["name"] for port in gateway(deployment)["ports"]}
    for service in of_kind(resources, "Service"):
        need(selects(service["spec"]["selector"]), f"Service {service['metadata']['name']} selects other pods")
        for port in service["spec"]["ports"]:
            need(port["targetPort"] in ports, f"Service {service['metadata']['name']} leads to no port: {port}")
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for one in of_kind(resources, kind):
            selector = one["spec"]["selector" if kind == "PodDisruptionBudget" else "podSelector"]
            need(selects(selector["matchLabels"]), f"{kind} selects other pods")
            rules = [port["port"] for rule in one["spec"].get("ingress", []) for port in rule.get("ports", [])]
            need(set(rules) <= ports, f"{kind} names ports that are not there: {rules}")
    for spread in pod.get("topologySpreadConstraints", []):
        need(selects(spread["labelSelector"]["matchLabels"]), "the pods are spread beside others")
    accounts = {one["metadata"]["name"] for one in of_kind(resources, "ServiceAccount")}
    need(not accounts or pod["serviceAccountName"] in accounts, f"no ServiceAccount {pod['serviceAccountName']}")
    for scaler in of_kind(resources, "HorizontalPodAutoscaler"):
        need(scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"], "the wrong Deployment is scaled")
        need("replicas" not in deployment["spec"], "each rollout would undo the scaling")
    services = {one["metadata"]["name"]: {port["name"] for port in one["spec"]["ports"]} | {port["port"] for port in one["spec"]["ports"]}
                for one in of_kind(resources, "Service")}
    for name, port in targets(resources):
        need(port in services.get(name, ()), f"a route leads to {name}:{port}, which is not there")
    for monitor in of_kind(resources, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        ours = [one for one in of_kind(resources, "Service") if wanted <= one["metadata"]["labels"].items()]
        need(len(ours) == 1, f"the ServiceMonitor finds {len(ours)} Services")
        for end in monitor["spec"]["endpoints"]:
            need(end["port"] in {port["name"] for port in ours[0]["spec"]["ports"]}, f"no port {end['port']} to scrape")


def targets(resources):
    for ingress in of_kind(resources, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield service["name"], service["port"].get("name") or service["port"]["number"]
    for route in of_kind(resources, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                yield backend["name"], backend["port"]


def configuration(deployment, resources, program, room):
    """Lays out the files as the pod would see them and has the gateway check its configuration; the files, merged."""
    container, pod = gateway(deployment), deployment["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        place = Path(f"{room}{mount['mountPath']}")
        place.mkdir(parents=True, exist_ok=True)
        for name, source in files(volumes[mount["name"]], resources):
            if isinstance(source, Path):
                shutil.copy(source, place / name)
            else:
                (place / name).write_text(source.replace("/etc/portcullis/", f"{room}/etc/portcullis/"))
    paths = [f"{room}{word.removeprefix('--config=')}" for word in container["args"] if word.startswith("--config=")]
    need(container["args"][0] == "serve" and paths, f"the gateway is not started with its configuration: {container['args']}")
    environment = {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}
    said = ran([program, "check", *(word for path in paths for word in ("--config", path))], cwd=room, env=environment)
    need("configuration is good" in said, said)
    merged = {}
    for path in paths:
        for key, value in tomllib.loads(Path(path).read_text()).items():
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def files(volume, resources):
    """Names and contents that a volume shows: a ConfigMap's are among the resources, a Secret's are made up here."""
    if "configMap" in volume:
        if volume["configMap"].get("optional"):
            return
        [found] = [one for one in of_kind(resources, "ConfigMap") if one["metadata"]["name"] == volume["configMap"]["name"]]
        yield from found["data"].items()
    elif "secret" in volume:
        yield from ((name, PLAIN[name]) for name in ("tls.crt", "tls.key"))
    elif "projected" in volume:
        for source in volume["projected"]["sources"]:
            for item in source["secret"]["items"]:
                yield item["path"], PLAIN.get(item["path"]) or SECRETS[item["path"]]


def seconds(text):
    need(text.endswith("s") and text[:-1].isdigit(), f"{text}: whole seconds are expected")
    return int(text[:-1])


def ends_in_time(deployment, settings):
    """Nobody is killed in the middle of a request, and nobody is asked who has already closed the door."""
    server, grace = settings["server"], deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    taken = seconds(server["shutdown_delay"]) + seconds(server["drain_timeout"])
    need(grace > taken, f"killed after {grace} s, but stopping may take {taken} s")
    probe = gateway(deployment)["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"]
    need(seconds(server["shutdown_delay"]) >= noticed, f"the doors close before {noticed} s, when everybody has looked")


def probed(deployment, settings):
    container = gateway(deployment)
    paths = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in paths.items():
        seen = container[probe]["httpGet"]
        need(seen == {"path": path, "port": "telemetry"}, f"{probe} asks {seen}")
    host, port = settings["server"]["telemetry_listen"].rsplit(":", 1)
    need(int(port) == ports["telemetry"] and host in ("0.0.0.0", "[::]"), "the kubelet does not reach the telemetry listener")
    traffic = next(port for name, port in ports.items() if name in ("http", "https"))
    need(settings["server"]["listen"][0].rsplit(":", 1)[1] == str(traffic), "the gateway listens on another port")
