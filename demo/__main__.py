"""`python -m demo [--once]`: start a small company, commit a sandbox, watch it converge."""

import argparse
import shutil
import signal
import subprocess
import sys
import threading
import time

from demo.person import SDP
from demo.processes import NotInTimeError
from demo.world import DEMO_PORTS, REPOSITORY, World, port_is_free, running
from tests.testbed import images, packages
from tests.testbed.__main__ import state_folder
from tests.testbed.engine import ensure_engine
from tests.testbed.process import TestbedError

EXAMPLES = {
    "sandboxes/qa-login-error.yaml": "sandboxes/qa-login-error.yaml",
    "environments/qa.yaml": "environments/qa.yaml",
    "templates/qa-default.yaml": "templates/qa-default.yaml",
}
ROOT = REPOSITORY / ".demo"


def main() -> int:
    """Run the demo; 0 when all went well, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--once", action="store_true", help="check the answers, then tear down")
    once = parser.parse_args().once
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        return _demo(once=once)
    except KeyboardInterrupt:
        return 0
    except (TestbedError, NotInTimeError, subprocess.CalledProcessError) as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1


def _demo(*, once: bool) -> int:
    began = time.monotonic()
    _step("Setting up: Docker engine, go, a Git server, two images")
    packages.ensure({**packages.COMPANY, **packages.GIT_SERVER})
    engine = ensure_engine(state_folder())
    for tag in images.TAGS:
        images.ensure_image(engine, tag)
    _ports_are_free()
    shutil.rmtree(ROOT, ignore_errors=True)
    world = World(ROOT, "demo", engine, DEMO_PORTS)
    world.sweep()
    _step("Starting a Bitbucket that asks for passwords, a control plane, two agents, and an OCP")
    with running(world, tell=lambda done: print(f"  {done}", flush=True)):
        _step("Committing sandboxes/qa-login-error.yaml, and watching it converge")
        if not _commit_example(world):
            return 1
        print(f"\nConverged {time.monotonic() - began:.0f} s after the start.")
        if once:
            return _check(world)
        _invite(world)
        threading.Event().wait()
    return 0


def _commit_example(world: World) -> bool:
    for source, target in EXAMPLES.items():
        text = (REPOSITORY / source).read_text()
        (world.config / target).write_text(text)
    applied = subprocess.run(
        [str(SDP), "apply", "--yes", "-m", "Give QA the login fix"],
        cwd=world.config,
        env=world.environment,
        check=False,
    )
    return applied.returncode == 0


def _check(world: World) -> int:
    wanted = {"account": "feature/login-error", "payment": "ocp", "user": "ocp"}
    failures = 0
    for service, branch in wanted.items():
        told = world.ask(8080, f"{service}/hello").get("branch", "no answer")
        right = told == branch
        failures += not right
        print(f"  {'ok ' if right else 'BAD'} :8080/erangel/{service}/hello answers as {told}")
    _step("Removing the file, and watching everything go")
    world.commit({"sandboxes/qa-login-error.yaml": None}, "QA is done")
    label = f"label=sdp.instance={world.instance}"
    world.until(
        lambda: not world.engine.docker("ps", "-aq", "--filter", label).strip(),
        "its containers are gone",
    )
    print("  ok  no container is left")
    print("demo: " + ("FAILED" if failures else "passed"))
    return 1 if failures else 0


def _invite(world: World) -> None:
    config = world.config
    print(f"""
The sandbox answers:
  curl http://127.0.0.1:8080/erangel/account/hello     from the branch feature/login-error
  curl http://127.0.0.1:8080/erangel/payment/hello     from OCP

Five things to try, in another terminal, logged in as achmad, who may do everything here:
  cd {config} && export PATH={SDP.parent}:$PATH
  sdp login --user achmad                              the password is {world.passwords["achmad"]}
  1. Change payment to {{branch: feature/refund}} in sandboxes/qa-login-error.yaml, then:
       sdp plan; sdp apply
  2. Kill a container, and read how it came back:
       docker rm -f sandbox-qa-login-error-account; sleep 2; sdp events
  3. Point account at the branch broken/compile, then ask why it does not deploy:
       sdp apply; sdp explain QA-LOGIN-ERROR
  4. Give QA a secret, and see that only ciphertext is committed:
       export SOPS_AGE_KEY_FILE={world.key}
       sdp env set-secret qa DB_PASSWORD --wait
  5. See what budi, who may only look, is told, and who did what; outside of the clone, where
     git would commit as achmad:
       cd / && sdp login --user budi                   the password is {world.passwords["budi"]}
       sdp suspend QA-LOGIN-ERROR; sdp audit

Ctrl-C stops everything and removes it.""")


def _ports_are_free() -> None:
    taken = [port for port in (3452, 3453, 3454, 8080) if not port_is_free(port)]
    if taken:
        named = ", ".join(map(str, taken))
        raise TestbedError(f"something listens on port {named}; stop it first")


def _step(text: str) -> None:
    print(f"\n==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
