"""Runs the commands of documents and compares what they print with what the document says.

A document is one shell session in a folder of its own, with the built `gander` on PATH and ports
that nothing else uses. Runnable are fenced blocks of these languages:

    console   `$ ` begins a command, `> ` goes on with it, all else is what it prints
    sh        a script; it must succeed, what it prints is not looked at

In printed text `…` stands for anything within a line, alone on a line for any lines. Ids, times and
secrets are compared by their form only. A comment before a block says how it is run:

    <!-- docs-check: skip REASON -->            not at all
    <!-- docs-check: background TEXT -->        it goes on running; wait until it has printed TEXT
    <!-- docs-check: printed -->                no command: what the last of these has printed since
    <!-- docs-check: file NAME -->              not run but written to a file, whatever its language
    <!-- docs-check: up -->                     no block: `gander up`, and a first Global Admin
    <!-- docs-check: stop -->                   no block: stops what was last left running
    <!-- docs-check: run COMMAND -->            no block: a command that readers need not see

Usage: docs_check.py [DOCUMENT ...]; without one README.md and those of docs/, not docs/runbooks/, which
look at a system that is in trouble. Only the standard library of Python 3.9 or newer is used.
"""

import concurrent.futures
import contextlib
import difflib
import itertools
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
RUNNABLE = {"sh", "bash", "shell", "console"}
PATIENCE = 60
UP = "Stop with Ctrl-C"
FIRST = "gander principal create ada --role global-admin --bootstrap-file gander-data/bootstrap-credential"
# Ports that documents name; each is another one while the document is run.
PORTS = [4222, 8222, 7700, 7701, 7702, 7703, 8080, 8443]
# Above those that the tests take, and below those that the kernel gives to outgoing connections: one of
# these could be gone before it is listened on. Another run at the same time begins elsewhere.
FREE_PORTS = range(28_192, 32_768)
ASKED = itertools.count(os.getpid() * 97)
LINKS = ["deploy", "examples", "proto", "target", "tools"]
FORMS = [
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "ID"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z", "TIME"),
    (r"\b(gdr|gdp)_[0-9A-Za-z]{49}\b", r"\1_SECRET"),
    (r"\b(gdr|gdp)_…[0-9A-Za-z]{4}\b", r"\1_LAST"),
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r"[ \t]+", " "),
    (r"[─-╿-]{4,}", "----"),
]
DIRECTIVE = re.compile(r"\s*<!-- docs-check: (\w+) ?(.*?) ?-->\s*$")
FENCE = re.compile(r"( *)```(\w*)\s*$")


class Failure(Exception):
    """What a document says is not so."""


class Block:
    """A fenced block, or a directive that stands alone; lines are counted from one."""

    def __init__(self, line, language, text, how, what):
        self.line, self.language, self.text = line, language, text
        self.how, self.what = how, what


def blocks(text):
    """The runnable blocks and the directives of a document, in order."""
    lines = text.splitlines()
    directive, n = None, 0
    while n < len(lines):
        said, fence = DIRECTIVE.match(lines[n]), FENCE.match(lines[n])
        if said and said[1] in ("up", "stop", "run"):
            yield Block(n + 1, "", [], said[1], said[2])
        elif said:
            if directive:
                raise Failure(f"line {n + 1}: two directives for one block")
            directive = said
        elif fence:
            start, indent = n + 1, len(fence[1])
            n += 1
            while lines[n].strip() != "```":
                n += 1
            how, what = (directive[1], directive[2]) if directive else ("show", "")
            if fence[2] in RUNNABLE or how in ("file", "printed"):
                yield Block(start, fence[2], [line[indent:] for line in lines[start:n]], how, what)
            directive = None
        elif directive and lines[n].strip():
            raise Failure(f"line {n + 1}: a directive is not followed by its block")
        n += 1


def commands(lines):
    """The commands of a console block, each with what it prints."""
    found = []
    for line in lines:
        if line.startswith("$ "):
            found.append([line[2:], []])
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0] += "\n" + line[2:]
        elif found:
            found[-1][1].append(line)
        else:
            raise Failure(f"{line!r} stands before the first command")
    return found


def masked(line):
    """A line with everything that differs each time replaced by its form."""
    for pattern, form in FORMS:
        line = re.sub(pattern, form, line)
    return line.strip()


def forms(lines):
    """Lines as they are compared."""
    return [masked(line) for line in lines if line.strip()]


def fits(wanted, found):
    """Whether printed lines are the ones that were said."""
    if not wanted:
        return not found
    if wanted[0] == "…":
        return any(fits(wanted[1:], found[n:]) for n in range(len(found) + 1))
    if not found:
        return False
    pattern = ".*".join(re.escape(part) for part in wanted[0].split("…"))
    return re.fullmatch(pattern, found[0]) is not None and fits(wanted[1:], found[1:])


def compare(wanted, found):
    """Raises a readable difference."""
    wanted, found = forms(wanted), forms(found)
    if not fits(wanted, found):
        lines = difflib.unified_diff(wanted, found, "the document", "what was printed", lineterm="")
        raise Failure("\n".join(f"    {line}" for line in lines))


def free_ports():
    """A port for each that documents name, none of them given twice."""
    ports = []
    while len(ports) < len(PORTS):
        port = FREE_PORTS[next(ASKED) % len(FREE_PORTS)]
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
    return dict(zip(PORTS, ports))


class Session:
    """A shell in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.ports, self.left = folder, free_ports(), []
        self.started, self.printed = 0, 0
        work = folder / "work"
        work.mkdir()
        (folder / "home").mkdir()
        for name in LINKS:
            if (ROOT / name).exists():
                (work / name).symlink_to(ROOT / name)
        at = {port: f"127.0.0.1:{own}" for port, own in self.ports.items()}
        environment = {
            "PATH": f"{ROOT}/target/debug:{ROOT}/target/debug/examples:{ROOT}/target/tools:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "LC_ALL": "C.UTF-8",
            "GANDER_HTTP_LISTEN": at[8080],
            "GANDER_GRPC_LISTEN": at[7700],
            "GANDER_OPS_LISTEN": at[7701],
            "GANDER_NATS_PORT": str(self.ports[4222]),
            "GANDER_NATS_URL": f"nats://{at[4222]}",
            "GANDER_SERVER": f"http://{at[7700]}",
            "GANDER_GATEWAY": f"http://{at[8080]}",
        }
        ours, theirs = os.pipe()
        self.answers = ours
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=work,
            env=environment,
            stdin=subprocess.PIPE,
            pass_fds=[theirs],
            start_new_session=True,
            text=True,
        )
        os.close(theirs)
        self.answer_to = theirs

    def own(self, text):
        """Text of the document with the ports of this session."""
        for port, own in self.ports.items():
            text = re.sub(rf"\b(127\.0\.0\.1|0\.0\.0\.0|localhost):{port}\b", rf"\g<1>:{own}", text)
        return text

    def said(self, text):
        """Printed text with the ports and the folder of the document; there, admin is at its usual place."""
        text = text.replace(f" --server http://127.0.0.1:{self.ports[7700]}", "")
        for port, own in self.ports.items():
            text = re.sub(rf":{own}\b", f":{port}", text)
        text = text.replace(str(self.folder / "home"), "~").replace(str(self.folder / "work"), "…")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def tell(self, line):
        """Gives the shell a line; gives what it answers."""
        self.shell.stdin.write(line + "\n")
        self.shell.stdin.flush()
        if not select.select([self.answers], [], [], PATIENCE)[0]:
            raise Failure(f"    not done in {PATIENCE} s")
        answer = os.read(self.answers, 100).decode().strip()
        if not answer:
            raise Failure("    the shell ended")
        return int(answer)

    def run(self, command):
        """Runs a command in the shell; gives its lines."""
        script, output = self.folder / "command", self.folder / "output"
        script.write_text(self.own(command) + "\n")
        try:
            run = f". {script} >{output} 2>&1 </dev/null {self.answer_to}>&-"
            code = self.tell(f"{run}; echo $? >&{self.answer_to}")
            problem = f"    exit code {code}" if code else ""
        except Failure as failure:
            problem = str(failure)
        lines = self.said(output.read_text(errors="replace")).splitlines()
        if problem:
            raise Failure("\n".join([problem, *(f"    {line}" for line in lines)]))
        return lines

    def leave(self, command, until):
        """Runs a command that goes on running, until it has printed a text."""
        self.started += 1
        number = self.started
        script, output = self.folder / f"command-{number}", self.folder / f"output-{number}"
        script.write_text(self.own(command) + "\n")
        # The shell may make it only after we have looked.
        output.touch()
        start = f"( . {script} ) >{output} 2>&1 </dev/null {self.answer_to}>&- &"
        group = self.tell(f"set -m; {start} echo $! >&{self.answer_to}; set +m")
        self.left.append((group, output))
        self.printed = 0
        lines = self.await_printed(lambda lines: until in "\n".join(lines))
        if until not in "\n".join(lines):
            said = "\n".join(f"    {line}" for line in lines)
            raise Failure(f"    {until!r} was not printed in {PATIENCE} s\n{said}")

    def await_printed(self, enough):
        """What was printed by the command last left running, once it is enough."""
        output, deadline = self.left[-1][1], time.monotonic() + PATIENCE
        while True:
            lines = self.said(output.read_text(errors="replace")).splitlines()[self.printed :]
            if enough(lines) or time.monotonic() > deadline:
                return lines
            time.sleep(0.05)

    def stop(self):
        """Stops the command last left running, as Ctrl-C does."""
        group, _ = self.left.pop()
        try:
            os.killpg(group, signal.SIGINT)
        except ProcessLookupError:
            return
        # The shell is its parent, so the shell waits.
        self.tell(f"wait {group} 2>/dev/null; echo $? >&{self.answer_to}")

    def end(self):
        """Stops everything."""
        try:
            while self.left:
                self.stop()
        except Failure as failure:
            print(f"docs-check: not stopped: {failure}", file=sys.stderr)
        # Whatever did not stop: each was left in a group of its own, in the session of the shell.
        subprocess.run(["pkill", "-KILL", "-s", str(self.shell.pid)], check=False)
        self.shell.wait()
        os.close(self.answers)


def run_block(session, block):
    """Runs one block; gives how many commands it had."""
    if block.how == "skip":
        if not block.what:
            raise Failure("    a block that is not run needs a reason")
        return 0
    if block.how == "up":
        session.leave("gander up", UP)
        session.run(FIRST)
    elif block.how == "stop":
        session.stop()
    elif block.how == "run":
        session.run(block.what)
    elif block.how == "file":
        path = session.folder / "work" / block.what
        path.write_text("\n".join(block.text) + "\n")
    elif block.how == "printed":
        lines = session.await_printed(lambda lines: fits(forms(block.text), forms(lines)))
        compare(block.text, lines)
        session.printed += len(lines)
    elif block.how == "background":
        parts = commands(block.text) if block.language == "console" else [["\n".join(block.text), ["…"]]]
        for command, wanted in parts[:-1]:
            compare(wanted, session.run(command))
        command, wanted = parts[-1]
        # It goes on, so it may have printed more by now.
        wanted = [*wanted, "…"]
        session.leave(command, block.what)
        compare(wanted, session.await_printed(lambda lines: fits(forms(wanted), forms(lines))))
    elif block.how == "show" and block.language == "console":
        for command, wanted in commands(block.text):
            try:
                compare(wanted, session.run(command))
            except Failure as failure:
                raise Failure(f"  $ {command}\n{failure}") from None
        return len(commands(block.text))
    elif block.how == "show":
        session.run("set -e\n" + "\n".join(block.text) + "\nset +e")
    else:
        raise Failure(f"    there is no directive {block.how!r}")
    return 1


def check(name):
    """Runs a document; gives a line for people, or raises Failure."""
    started, folder = time.monotonic(), pathlib.Path(tempfile.mkdtemp(prefix="docs-check-"))
    ran, skipped, session = 0, 0, None
    try:
        for block in blocks((ROOT / name).read_text()):
            if block.how == "skip" and block.what:
                skipped += 1
                continue
            session = session or Session(folder)
            try:
                ran += run_block(session, block)
            except Failure as failure:
                raise Failure(f"{name}:{block.line}: is not so\n{failure}") from None
    finally:
        if session:
            session.end()
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    return f"{name}: {ran} commands and scripts run, {skipped} blocks not run, {seconds:.1f} s"


def self_test():
    """What is wrong must be noticed."""
    wrong = [(["a"], ["b"]), (["a"], []), ([], ["a"]), (["a", "…"], ["b"]), (["a…c"], ["ab"])]
    for wanted, found in wrong:
        try:
            compare(wanted, found)
        except Failure:
            continue
        sys.exit(f"docs-check: {wanted} fits {found}")
    token = "gdr_…"
    compare(["a", "…", "d…f"], ["a", "b", "c", "d e f"])
    compare([f"{token}0000  2026-11-24 10:00:00Z"], [f"{token}abcd 2027-01-01 23:59:59Z"])


def main():
    """Checks the documents named, or all."""
    # What is started in the background may have it ignored, and whatever that starts; `stop` needs it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    self_test()
    if not (ROOT / "target/debug/gander").is_file():
        sys.exit("docs-check: the program is not built: run `make build`")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        for done in [pool.submit(check, name) for name in sys.argv[1:] or DOCUMENTS]:
            try:
                print(done.result(), flush=True)
            except Failure as failure:
                failed += 1
                print(failure, file=sys.stderr, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
