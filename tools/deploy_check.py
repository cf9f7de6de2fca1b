"""Checks the files in deploy/ with the programs that read them; starts nothing of it.

    systemd      systemd-analyze verify, and systemd-analyze security with a threshold
    Dockerfile   hadolint
    compose      docker compose config
    Kubernetes   kubectl kustomize, then the schemas of Kubernetes, strict, and what no schema says
    nats-server  nats-server -t

systemd-analyze and kubectl are taken from the machine, the rest from target/tools. What is not there
is told as not checked; with CI set it is a failure.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
TOOLS = ROOT / "target/tools"
# How exposed a unit may be, on systemd's own scale: 10 is open, 0 is locked.
EXPOSURE = {
    "gander-up": 1.4,
    "gander-admin": 1.2,
    "gander-gateway@1": 1.2,
    "gander-worker@1": 1.2,
    "nats-server": 1.2,
}
KUBERNETES = "1.37"
USERS = ["admin", "gateway", "worker", "operator", "subscriber"]
# Public keys, as many as there are users; whose they are does not matter.
KEYS = [
    "UCY6M5JK7SQYYMOTUHCVVR3PGT3JPNIAPWVXWW5GAXHTS5B75O33PTOV",
    "UCKXPR6FMJG6NZY2QMNIBYOJTITQPGST2FMSSQO7QGG5LYPFFHNMH2A5",
    "UCPEGQL2CAOCZV5E2AHG2E5JAL4ED2U3DWDA3CP3JVZVLGCBV2WREK7U",
    "UAV5K7PUEP2ZVILQQTAHPEIHA423R6VT72MFZDYOJQXHLSVYEWFBVKW3",
    "UC25K4HDOVXHUMBGVIRREKLXUPA5A2K5PR6DCEXU2UEI4YITVYVRYW24",
]
PUBLIC = {f"NATS_{user.upper()}_NKEY": key for user, key in zip(USERS, KEYS, strict=True)}
SAID = {**PUBLIC, "GRAFANA_PASSWORD": "c3"}


class Wrong(Exception):
    """A file is not as it should be."""


class Missing(Exception):
    """A program is not on this machine."""


def run(*command, **environment):
    """What a program writes; raises what it writes where it fails."""
    if not shutil.which(command[0]):
        raise Missing(pathlib.Path(command[0]).name)
    variables = {**os.environ, **environment}
    done = subprocess.run(command, env=variables, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise Wrong(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def demand(holds, what):
    """Raises unless it holds."""
    if not holds:
        raise Wrong(what)


def systemd():
    """The units, in a root folder where their programs are."""
    targets = pathlib.Path("/usr/lib/systemd/system")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        units = root / "etc/systemd/system"
        shutil.copytree(DEPLOY / "systemd", units)
        for program in ["usr/bin/gander", "usr/bin/nats-server", "bin/kill"]:
            path = root / program
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
        (root / "usr/lib/systemd/system").mkdir(parents=True)
        for target in targets.glob("*.target"):
            shutil.copy(target, root / "usr/lib/systemd/system", follow_symlinks=True)
        names = ["gander-roles.target", *(f"{unit}.service" for unit in EXPOSURE)]
        told = run("systemd-analyze", "verify", f"--root={root}", *names).strip()
        demand(not told, told)
        for unit, limit in EXPOSURE.items():
            limit = f"--threshold={round(limit * 10)}"
            analyze = ["systemd-analyze", "security", "--offline=true", f"--root={root}", limit]
            run(*analyze, f"{unit}.service")
    one_or_the_other()


def one_or_the_other():
    """That gander-up and the single roles, however many there are, stop each other."""
    everything, roles = "gander-up.service", "gander-roles.target"
    demand(roles in unit_says(everything, "Conflicts"), f"{everything} runs beside the single roles")
    for path in (DEPLOY / "systemd").glob("gander-*.service"):
        if path.name == everything:
            continue
        for key in ["Wants", "PartOf"]:
            demand(roles in unit_says(path.name, key), f"{path.name} does not say {key}={roles}")
        demand(everything in unit_says(path.name, "After"), f"{path.name} does not wait for {everything}")


def unit_says(name, key):
    """The words that a unit says for a key."""
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    return [word for line in lines if line.startswith(f"{key}=") for word in line.split("=", 1)[1].split()]


def dockerfile():
    """The Dockerfile."""
    run(TOOLS / "deploy/bin/hadolint", DEPLOY / "Dockerfile")


def compose():
    """compose.yml with its variables, and that it refuses to go without them."""
    config = [TOOLS / "deploy/bin/docker-compose", "-f", DEPLOY / "compose.yml", "--env-file", os.devnull]
    run(*config, "config", "--quiet", **SAID)
    for one in SAID:
        try:
            run(*config, "config", "--quiet", **{**SAID, one: ""})
        except Wrong:
            continue
        raise Wrong(f"compose.yml goes without {one}")


def kubernetes():
    """The manifests: their schema, and that every container is locked in."""
    sys.path.insert(0, str(TOOLS / "deploy"))
    try:
        import kubernetes_validate
        import yaml
    except ImportError:
        raise Missing("kubernetes-validate") from None
    run("kubectl", "kustomize", DEPLOY / "kubernetes/monitoring")
    things = list(yaml.safe_load_all(run("kubectl", "kustomize", DEPLOY / "kubernetes/base")))
    demand(len(things) > 15, f"only {len(things)} things")
    for thing in things:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
        demand(thing["kind"] != "Secret", "a Secret stands in the manifests")
        if "template" in thing.get("spec", {}):
            pod(thing["metadata"]["name"], thing["spec"]["template"]["spec"])
            labels = thing["spec"]["template"]["metadata"]["labels"]
            wanted = thing["spec"]["selector"]["matchLabels"]
            demand(labels["app.kubernetes.io/name"] == "gander", f"{labels} is not of gander")
            demand(wanted.items() <= labels.items(), f"{wanted} does not find its own pods")
    policies = [thing for thing in things if thing["kind"] == "NetworkPolicy"]
    closed = [policy for policy in policies if not policy["spec"].get("ingress") and not policy["spec"].get("egress")]
    demand(len(closed) == 1 and closed[0]["spec"]["podSelector"] == {}, "nothing is denied by default")


def pod(name, spec):
    """That a pod is as the rules of the project want it."""
    context = spec["securityContext"]
    demand(context["runAsNonRoot"] and context["runAsUser"] > 0, f"{name} runs as root")
    demand(context["seccompProfile"] == {"type": "RuntimeDefault"}, f"{name} has no seccomp profile")
    demand(spec["automountServiceAccountToken"] is False, f"{name} has a token of the cluster")
    for container in spec["containers"]:
        locked = container["securityContext"]
        demand(locked["readOnlyRootFilesystem"], f"{name} may write its image")
        demand(not locked["allowPrivilegeEscalation"], f"{name} may gain rights")
        demand(locked["capabilities"] == {"drop": ["ALL"]}, f"{name} has capabilities")
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
            demand(probe in container, f"{name} has no {probe}")
        demand("memory" in container["resources"]["limits"], f"{name} has no limit of memory")
        said = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
        # The default of --drain-seconds.
        drain = float(said.get("GANDER_DRAIN_SECONDS", 10))
        delay = float(said.get("GANDER_DRAIN_DELAY_SECONDS", 0))
        demand(spec["terminationGracePeriodSeconds"] > drain, f"{name} is killed in its drain")
        demand(delay + 10 <= drain, f"{name} has less than 10 s for what is begun")
        demand(name != "gateway" or delay > 0, f"{name} takes no connections while traffic still comes")


def nats_server():
    """The configurations of nats-server."""
    single = {"NATS_LISTEN": "127.0.0.1:4222", "NATS_MONITOR": "127.0.0.1:8222", "NATS_STORE": "/data"}
    server = TOOLS / "nats-server"
    run(server, "-t", "-c", DEPLOY / "nats-server.conf", **single, **PUBLIC)
    run(server, "-t", "-c", DEPLOY / "kubernetes/base/nats.conf", POD_NAME="nats-0", **PUBLIC)
    accounts = [(DEPLOY / path / "nats-accounts.conf").read_text() for path in [".", "kubernetes/base"]]
    demand(accounts[0] == accounts[1], "the accounts of nats-server differ between one and three servers")
    named = set(re.findall(r"\$(NATS_\w+)", accounts[0]))
    demand(named == set(PUBLIC), f"the accounts of nats-server want {sorted(named)}")


def main():
    """Checks all of it."""
    failed = 0
    for check in [systemd, dockerfile, compose, kubernetes, nats_server]:
        try:
            check()
            print(f"deploy-check: {check.__name__}: good", flush=True)
        except Missing as missing:
            failed += bool(os.environ.get("CI"))
            print(f"deploy-check: {check.__name__}: NOT CHECKED: {missing} is not installed", flush=True)
        except Exception as wrong:  # A schema says what is wrong in an exception of its own.
            failed += 1
            print(f"deploy-check: {check.__name__}: {wrong}", file=sys.stderr, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
