"""What a rendered chart would have Kubernetes do, for the cases of stages/chart/run.

    objects.py kinds FILE                 the kind of each object, sorted
    objects.py environment FILE [N=V ..]  the variables of the container, NAME=VALUE; N=V are those of the node
    objects.py mounts FILE                what is mounted where: PATH<tab>NAME OF THE VOLUME
    objects.py probe FILE KIND NODE       the address of a probe (readiness, liveness, startup) of a pod with this address
    objects.py hook FILE                  the words of the preStop hook, a line each
    objects.py query FILE                 the query of the ScaledObject
    objects.py data FILE KIND KEY         what a Secret or ConfigMap holds under a key
"""

import re
import sys

import yaml


def pod(objects):
    for found in objects:
        if found["kind"] in ("DaemonSet", "Deployment"):
            return found["spec"]["template"]["spec"]
    sys.exit("no pod")


def environment(container, node):
    """As the kubelet makes it: what comes from the node, and $(NAME) replaced by what stands before."""
    values = {}
    for entry in container["env"]:
        if "valueFrom" in entry:
            values[entry["name"]] = node[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            values[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], entry["value"])
    return values


def main(command, file, *arguments):
    with open(file, encoding="utf-8") as text:
        objects = [found for found in yaml.safe_load_all(text) if found]
    if command == "kinds":
        print(*sorted(found["kind"] for found in objects))
    elif command == "environment":
        node = dict(argument.split("=", 1) for argument in arguments)
        for name, value in environment(pod(objects)["containers"][0], node).items():
            print(f"{name}={value}")
    elif command == "mounts":
        for mount in pod(objects)["containers"][0]["volumeMounts"]:
            print(mount["mountPath"], mount["name"], sep="\t")
    elif command == "probe":
        get = pod(objects)["containers"][0][arguments[0] + "Probe"]["httpGet"]
        print(f"http://{get.get('host', arguments[1])}:{get['port']}{get['path']}")
    elif command == "hook":
        print(*pod(objects)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"], sep="\n")
    elif command == "query":
        scaled = next(found for found in objects if found["kind"] == "ScaledObject")
        print(scaled["spec"]["triggers"][0]["metadata"]["query"])
    elif command == "data":
        holder = next(found for found in objects if found["kind"] == arguments[0])
        print(holder.get("stringData", holder.get("data"))[arguments[1]], end="")
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
