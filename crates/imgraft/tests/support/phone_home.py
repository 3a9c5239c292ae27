"""Has the real cloud-init's module phone_home post to the address given."""
import logging
import sys

from cloudinit import helpers, util
from cloudinit.config import cc_phone_home

url, instance_id = sys.argv[1:]


class Hostname(str):
    # Versions differ in whether this is a text or has one.
    hostname = property(str)


class Cloud:
    paths = helpers.Paths({"cloud_dir": "/nonexistent", "run_dir": "/nonexistent"})

    def get_instance_id(self):
        return instance_id

    def get_hostname(self, fqdn=False):
        return Hostname("web.example" if fqdn else "web")


keys = {"/etc/ssh/ssh_host_rsa_key.pub": "ssh-rsa AAAA+/= root@web\n", "/etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 BBBB root@web\n"}


def load_file(path, **_):
    return keys[path]


util.load_file = load_file
util.load_text_file = load_file
log = logging.getLogger()
failures = []
util.logexc = lambda _, message, *arguments: failures.append(message % arguments)
config = {"phone_home": {"url": url, "post": ["pub_key_rsa", "pub_key_ed25519", "instance_id", "hostname", "fqdn"], "tries": 1}}
arguments = [[]] if cc_phone_home.handle.__code__.co_argcount == 4 else [log, []]
cc_phone_home.handle("phone_home", config, Cloud(), *arguments)
print([failure for failure in failures if "dsa" not in failure])
