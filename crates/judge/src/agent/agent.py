"""Runs what a judge on the host asks for, over a virtio-serial port: a line of JSON each way.

A request is {"id": N, "do": "run" | "stat" | "read", ...}; its reply has the same id. Between replies there is a beat
every two seconds, which says what the guest has done so far: a host tells by it whether anything goes on.
Needs python3 and nothing else; the guest's disk is not written.
"""
import base64, errno, hashlib, json, os, select, signal, stat, subprocess, sys, threading, time

PORT = "/dev/virtio-ports/org.imgraft.judge"
BEAT_S = 2
MAX_REQUEST = 1 << 20


def open_port(path):
    """The port, as soon as the kernel has it. Another agent may have it already."""
    for _ in range(600):
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EBUSY:
                sys.exit(0)
        time.sleep(0.2)
    sys.exit("there is no " + path)


def content(path, limit=1 << 16):
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""


def text(path):
    return content(path).decode("utf-8", "replace").strip()


def loaded(path):
    try:
        return json.loads(content(path).decode("utf-8", "replace"))
    except ValueError:
        return {}


def work_done():
    """Jiffies that the processors worked."""
    words = content("/proc/stat").split(b"\n", 1)[0].split()[1:]
    numbers = [int(word) for word in words]
    return sum(numbers[:3] + numbers[5:8])


def cloud_init():
    status = loaded("/run/cloud-init/status.json")
    status = status.get("v1", {}) if isinstance(status, dict) else {}
    return {"stage": status.get("stage"), "finished": os.path.exists("/run/cloud-init/result.json")}


class Agent:
    def __init__(self, port):
        self.port = port
        self.lock = threading.Lock()

    def say(self, message):
        data = (json.dumps(message) + "\n").encode()
        with self.lock:
            while data:
                data = data[os.write(self.port, data):]

    def hello(self):
        self.say({
            "hello": 1,
            "boot_id": text("/proc/sys/kernel/random/boot_id"),
            "machine_id": text("/etc/machine-id"),
            "uptime_s": float(text("/proc/uptime").split()[0]),
            "time_s": time.time(),
            "python": sys.version.split()[0],
        })

    def beat(self):
        while True:
            time.sleep(BEAT_S)
            self.say({"beat": work_done(), "cloud_init": cloud_init()})

    def requests(self):
        """The lines that come in. Nobody at the other end looks like the end of a file."""
        rest = b""
        while True:
            data = os.read(self.port, 1 << 16)
            if not data:
                if stat.S_ISSOCK(os.fstat(self.port).st_mode):
                    return
                time.sleep(0.2)
                continue
            rest += data
            *lines, rest = rest.split(b"\n")
            if len(rest) > MAX_REQUEST:
                rest = b""
            yield from lines

    def serve(self):
        self.hello()
        threading.Thread(target=self.beat, daemon=True).start()
        for line in self.requests():
            request = {}
            try:
                request = json.loads(line.decode())
                reply = {"run": run, "stat": look, "read": read}[request["do"]](request)
            except Exception as error:
                reply = {"error": "%s: %s" % (type(error).__name__, error)}
            reply["id"] = request.get("id")
            self.say(reply)


def run(request):
    limit = request["limit"]
    command = ["/bin/sh", "-c", request["command"]]
    if request.get("user"):
        command = ["runuser", "-l", request["user"], "-s", "/bin/sh", "-c", request["command"]]
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
    environment = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb", "SHELL": "/bin/sh"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment, cwd="/", start_new_session=True)
    kept = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    total = dict.fromkeys(kept, 0)
    opened = set(kept)
    deadline = time.monotonic() + request["timeout_s"]
    timed_out = False
    # What a command left running may keep the pipes: its own end is the end.
    while opened:
        left = deadline - time.monotonic()
        if left <= 0:
            timed_out = True
            break
        ready = select.select(list(opened), [], [], min(left, 0.2))[0]
        for pipe in ready:
            data = os.read(pipe, 1 << 16)
            if not data:
                opened.discard(pipe)
            total[pipe] += len(data)
            kept[pipe] += data[:max(0, limit - len(kept[pipe]))]
        if not ready and process.poll() is not None:
            break
    if not timed_out:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
    if timed_out:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    out, err = process.stdout.fileno(), process.stderr.fileno()
    reply = {"status": process.returncode, "timed_out": timed_out, "truncated": any(total[p] > limit for p in kept),
             "stdout": base64.b64encode(kept[out]).decode(), "stderr": base64.b64encode(kept[err]).decode()}
    process.stdout.close()
    process.stderr.close()
    return reply


def name_of(number, path):
    for line in content(path, 1 << 20).decode("utf-8", "replace").split("\n"):
        words = line.split(":")
        if len(words) > 2 and words[2] == str(number):
            return words[0]
    return None


def look(request):
    path = request["path"]
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return {"exists": False}
        raise
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFBLK: "block device",
             stat.S_IFCHR: "character device", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    reply = {"exists": True, "kind": kinds.get(stat.S_IFMT(found.st_mode), "?"), "mode": stat.S_IMODE(found.st_mode),
             "uid": found.st_uid, "gid": found.st_gid, "user": name_of(found.st_uid, "/etc/passwd"),
             "group": name_of(found.st_gid, "/etc/group"), "size_bytes": found.st_size}
    if request.get("sha256") and reply["kind"] == "file":
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        reply["sha256"] = digest.hexdigest()
    return reply


def read(request):
    """The file's begin, or its end."""
    limit = request["limit"]
    with open(request["path"], "rb") as file:
        skipped = max(0, os.fstat(file.fileno()).st_size - limit) if request.get("from_end") else 0
        file.seek(skipped)
        data = file.read(limit + 1)
    truncated = skipped > 0 or len(data) > limit
    return {"content": base64.b64encode(data[:limit]).decode(), "truncated": truncated}


if __name__ == "__main__":
    Agent(int(sys.argv[1]) if len(sys.argv) > 1 else open_port(PORT)).serve()
