"""What the real cloud-init makes of the user-data in the file given, as JSON.

It is processed and handed to cloud-init's own handlers in a folder of their own. Boothooks are not run: what
would be is noted in their place. Jinja is given the instance data that cloud-init would have.
"""
import copy
import json
import os
import sys
import tempfile

from cloudinit import handlers, helpers, util
from cloudinit import user_data as ud
from cloudinit.distros import ug_util
from cloudinit.handlers.boot_hook import BootHookPartHandler
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.handlers.jinja_template import JinjaTemplatePartHandler
from cloudinit.handlers.shell_script import ShellScriptPartHandler
from cloudinit.settings import PER_INSTANCE

with open(sys.argv[1], "rb") as file:
    blob = file.read()

with tempfile.TemporaryDirectory() as root:
    paths = helpers.Paths({"cloud_dir": root, "run_dir": root})
    data_source = type("Source", (), {"get_instance_id": lambda self: "iid", "is_disconnected": False})()
    paths.datasource = data_source
    for name in ("instance_data_sensitive", "instance_data"):
        if name in getattr(paths, "lookups", {}):
            util.write_file(paths.get_runpath(name), json.dumps({"v1": {"local_hostname": "web"}}))
    # Where older versions look.
    for name in ("instance-data.json", "instance-data-sensitive.json"):
        util.write_file(os.path.join(root, name), json.dumps({"v1": {"local_hostname": "web"}}))
    config = os.path.join(root, "merged")
    made = {"cloud_config": config, "scripts": os.path.join(root, "scripts")}
    paths.get_ipath = lambda name=None: made.get(name, os.path.join(root, str(name)))
    paths.get_ipath_cur = paths.get_ipath

    hooks, others = [], []

    class Boothook(BootHookPartHandler):
        def handle_part(self, data, ctype, filename, payload, frequency):
            if ctype not in handlers.CONTENT_SIGNALS:
                hooks.append(payload)

    cloud_config, script = CloudConfigPartHandler(paths), ShellScriptPartHandler(paths)
    known = helpers.ContentHandlers()
    jinja = JinjaTemplatePartHandler(paths, sub_handlers=[cloud_config, script])
    mine = [cloud_config, script, Boothook(paths, data_source), jinja]
    for handler in mine:
        known.register(handler)

    message = ud.UserDataProcessor(paths).process(blob)
    for part in message.walk():
        kind = part.get_content_type()
        if not kind.startswith("multipart/") and kind not in known:
            others.append([kind, str(util.fully_decoded_payload(part))])

    data = {"handlers": known, "handlerdir": root, "data": None, "frequency": PER_INSTANCE, "handlercount": 0, "excluded": []}
    for handler in mine:
        handlers.call_begin(handler, None, PER_INSTANCE)
    handlers.walk(message, handlers.walker_callback, data=data)
    for handler in mine:
        handlers.call_end(handler, None, PER_INSTANCE)

    # The order of run-parts is that of the names.
    scripts = []
    if os.path.isdir(made["scripts"]):
        for name in sorted(os.listdir(made["scripts"])):
            with open(os.path.join(made["scripts"], name), encoding="utf-8") as file:
                scripts.append(file.read())
    text = open(config, encoding="utf-8").read() if os.path.exists(config) else ""
    config = util.load_yaml(text) or {}
    stock = {"name": "stock", "lock_passwd": True}
    distro = type("Distro", (), {"get_default_user": lambda self: dict(stock)})()
    users, _ = ug_util.normalize_users_groups(copy.deepcopy(config), distro)
    json.dump({"users": sorted(users), "config": config, "scripts": scripts, "hooks": hooks, "others": others}, sys.stdout, sort_keys=True)
