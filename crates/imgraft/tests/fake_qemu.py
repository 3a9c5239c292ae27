"""Stands in for QEMU in tests of `imgraft test`: plays a console, speaks QMP, and answers as the agent of a guest would.

The folder in FAKE_QEMU has `console` (what the guest writes), and perhaps `answers.json`: {"hello": {...}, "run": {COMMAND: [STATUS,
STDOUT]}, "stat": {PATH: {...}}, "read": {PATH: TEXT}}; without it, no agent answers. With `delay` (seconds) it takes its
time before it listens at the ports of the host that lead into the guest.
"""
import base64, json, os, socket, sys, threading, time

folder = os.environ["FAKE_QEMU"]


def listen(name):
    for argument in sys.argv:
        if argument.startswith("socket,id=%s," % name):
            fields = dict(field.split("=", 1) for field in argument.split(",")[1:])
            server = socket.socket(socket.AF_UNIX)
            server.bind(fields["path"])
            server.listen(1)
            return server
    sys.exit("no socket " + name)


def forward():
    """Listens at the host's ports, as QEMU does, and ends as it does where it cannot."""
    servers = []
    for argument in sys.argv:
        for rule in [field[8:] for field in argument.split(",") if field.startswith("hostfwd=tcp:")]:
            address, port = rule.split(":")[1], int(rule.split(":")[2].split("-")[0])
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind((address, port))
                server.listen(1)
            except OSError:
                sys.exit("qemu-system-x86_64: Could not set up host forwarding rule '%s'" % rule)
            servers.append(server)
    return servers


def play():
    with open(folder + "/console", "rb") as file:
        sys.stdout.buffer.write(file.read())
        sys.stdout.flush()


def monitor(server):
    stream = server.accept()[0].makefile("rw")
    print(json.dumps({"QMP": {"version": {}, "capabilities": []}}), file=stream, flush=True)
    for line in stream:
        request = json.loads(line)
        if request["execute"] == "system_reset":
            print(json.dumps({"event": "RESET", "data": {"guest": False}, "timestamp": {}}), file=stream, flush=True)
            threading.Thread(target=play, daemon=True).start()
        returned = [] if request["execute"] == "query-blockstats" else {}
        print(json.dumps({"return": returned, "id": request["id"]}), file=stream, flush=True)


def answer(answers, request):
    if request["do"] == "run":
        status, said = answers["run"].get(request["command"], [127, ""])
        return {"status": status, "stdout": base64.b64encode(said.encode()).decode(), "stderr": ""}
    if request["do"] == "stat":
        return answers["stat"].get(request["path"], {"exists": False})
    content = answers["read"].get(request["path"])
    if content is None:
        return {"error": "FileNotFoundError: " + request["path"]}
    return {"content": base64.b64encode(content.encode()).decode(), "truncated": False}


def agent(server):
    stream = server.accept()[0].makefile("rw")
    with open(folder + "/answers.json") as file:
        answers = json.load(file)
    print(json.dumps(answers["hello"]), file=stream, flush=True)
    for line in stream:
        request = json.loads(line)
        print(json.dumps(dict(answer(answers, request), id=request["id"])), file=stream, flush=True)


with open(folder + "/process", "w") as file:
    file.write(str(os.getpid()))
if os.path.exists(folder + "/delay"):
    with open(folder + "/delay") as file:
        time.sleep(float(file.read()))
forwards = forward()
threads = [(monitor, listen("monitor"))]
channel = listen("channel0")
if os.path.exists(folder + "/answers.json"):
    threads.append((agent, channel))
for target, server in threads:
    threading.Thread(target=target, args=(server,), daemon=True).start()
play()
threading.Event().wait()
