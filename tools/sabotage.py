"""Breaks rules of the code on purpose, one after another, and shows which test notices.

Each `tests/sabotage/*.patch` breaks one rule in a copy of the last commit under `target/sabotage`. Its first
lines say which, and which tests have to notice; cargo takes the name of a test or a part of it:

    Breaks: an owner commits whether or not it still owns its partitions
    Test: many_workers_with_faults_end_like_one_worker_in_order

First the tests run without any patch and have to pass; then each with its patch, and have to fail. A patch that
does not compile, or that no test notices, fails the run.

Usage: sabotage.py [PATCH ...]; `--check` only looks whether the patches fit the code. Only the standard
library of Python 3.9 or newer is used.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATCHES = ROOT / "tests" / "sabotage"
TREE = ROOT / "target" / "sabotage"
FAILED = re.compile(r"^test (\S+) \.\.\. FAILED", re.MULTILINE)
PASSED = re.compile(r"^test (\S+) \.\.\. ok", re.MULTILINE)


def run(*command, cwd=TREE):
    env = {name: value for name, value in os.environ.items() if not name.startswith("CARGO_TARGET")}
    return subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def must(*command, cwd=TREE):
    done = run(*command, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")


def said(patch, name):
    lines = patch.read_text().split("\ndiff ")[0].splitlines()
    found = [line.split(": ", 1)[1] for line in lines if line.startswith(f"{name}: ")]
    if not found:
        sys.exit(f"{patch} does not say `{name}:`")
    return found


def clean_tree():
    """A copy of the last commit; what was built there before stays."""
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    if not (TREE / ".git").is_dir():
        shutil.rmtree(TREE, ignore_errors=True)
        must("git", "clone", "--quiet", "--shared", "--no-checkout", ROOT, TREE, cwd=ROOT)
    must("git", "fetch", "--quiet", "origin", commit)
    must("git", "checkout", "--quiet", "--force", "--detach", commit)
    (TREE / "target").mkdir(exist_ok=True)
    tools = TREE / "target" / "tools"
    if not tools.is_symlink():
        tools.symlink_to(ROOT / "target" / "tools")


def build():
    return run("cargo", "build", "--workspace", "--all-targets", "--locked")


def test(names):
    """The tests that passed, and those that failed."""
    done = run(
        "cargo", "test", "--workspace", "--locked", "--tests", "--no-fail-fast", "--", *names
    )
    return PASSED.findall(done.stdout), FAILED.findall(done.stdout), done.stdout


def sabotage(patch):
    """Which test notices; none if nobody does."""
    must("git", "apply", patch)
    try:
        built = build()
        if built.returncode != 0:
            sys.exit(f"{patch.name} does not compile:\n{built.stdout[-4000:]}")
        return test(said(patch, "Test"))[1]
    finally:
        must("git", "checkout", "--quiet", "--", ".")


def check(patches):
    for patch in patches:
        said(patch, "Breaks"), said(patch, "Test")
        must("git", "apply", "--check", patch, cwd=ROOT)


def main():
    names = [name for name in sys.argv[1:] if name != "--check"]
    patches = sorted(PATCHES.glob("*.patch"))
    if names:
        patches = [patch for patch in patches if patch.stem in names]
    if not patches:
        sys.exit("there is no such patch")
    check(patches)
    if "--check" in sys.argv:
        return
    if subprocess.check_output(["git", "status", "--porcelain"], cwd=ROOT, text=True).strip():
        print("what is not committed is left out")
    clean_tree()
    print("building without a patch", flush=True)
    must("cargo", "build", "--workspace", "--all-targets", "--locked")
    wanted = sorted({name for patch in patches for name in said(patch, "Test")})
    passed, failed, log = test(wanted)
    missing = [name for name in wanted if not any(name in one for one in passed)]
    if failed or missing:
        sys.exit(f"without a patch: failed {failed}, missing {missing}\n{log[-4000:]}")
    unnoticed = 0
    for patch in patches:
        begun = time.monotonic()
        found = sabotage(patch)
        unnoticed += not found
        told = ", ".join(found) or "NOBODY NOTICES"
        print(f"{patch.stem:<20} -> {told} ({time.monotonic() - begun:.0f} s)", flush=True)
        print(f"{'':<23} {said(patch, 'Breaks')[0]}", flush=True)
    sys.exit(f"{unnoticed} not noticed" if unnoticed else 0)


main()
