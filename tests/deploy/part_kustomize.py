"""The kustomization: each overlay rendered by kubectl and looked at as a cluster would."""

import shutil

from manifests import Fault, check, need, only, parsed, ran
from subject import ROOT

FOLDER = ROOT / "deploy" / "kustomize"


def run(report, tools, program, room):
    overlays = sorted(path.parent for path in FOLDER.glob("overlays/*/kustomization.yaml"))
    with report.case("kustomize: the overlays are there"):
        need([path.name for path in overlays] == ["production", "sqlite"], f"found {overlays}")
    for overlay in overlays:
        with report.case(f"kustomize: {overlay.name}"):
            place = room / overlay.name
            place.mkdir()
            resources = rendered(tools, overlay)
            check(resources, program, place)
            image = only(resources, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]
            need(image.startswith("registry.example.com/"), f"the image's place is not set: {image}")
            need({one["metadata"].get("namespace") for one in resources} == {"auth"}, "a resource is in another namespace")
    with report.case("kustomize: a key that the gateway does not know, and a port that is not there, are found out"):
        copy = room / "copy"
        shutil.copytree(FOLDER, copy)
        changed(copy / "overlays/sqlite/portcullis.toml", 'access = "anonymous"', 'acces = "anonymous"')
        found_out(tools, program, copy / "overlays/sqlite", room / "misspelt", "acces")
        changed(copy / "base/services.yaml", "targetPort: telemetry", "targetPort: metrics")
        found_out(tools, program, copy / "overlays/production", room / "no-port", "leads to no port")


def rendered(tools, folder):
    return parsed(ran([tools("kubectl"), "kustomize", folder]))


def changed(path, old, new):
    text = path.read_text()
    need(old in text, f"{path.name} does not say {old}")
    path.write_text(text.replace(old, new))


def found_out(tools, program, overlay, place, words):
    place.mkdir()
    try:
        check(rendered(tools, overlay), program, place)
    except Fault as fault:
        need(words in str(fault), f"refused for another reason: {fault}")
    else:
        raise Fault("it was taken")
