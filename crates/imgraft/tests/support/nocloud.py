"""What the real cloud-init's data source NoCloud reads from the seed disk given, as JSON.

Two functions of cloud-init are answered for, as nothing is attached to this machine: which devices there
are (blkid looks at the file), and what a mount shows (isoinfo or mcopy copies it out, by the names that
Linux would show). All else is cloud-init's own: which disk it takes for a seed, what has to be on it,
how it reads and what it makes of it.
"""
import json
import os
import subprocess
import sys
import tempfile

from cloudinit import helpers, util
from cloudinit.sources import DataSourceNoCloud as nocloud

image = os.path.abspath(sys.argv[1])
probe = subprocess.run(["blkid", "-p", "-o", "export", image], check=True, capture_output=True, text=True)
properties = dict(line.split("=", 1) for line in probe.stdout.splitlines() if "=" in line)


def find_devs_with(criteria=None, *_, **__):
    key, value = criteria.split("=", 1)
    return [image] if properties.get(key) == value else []


def mount_cb(device, callback, data=None, mtype=None, **__):
    assert device == image
    with tempfile.TemporaryDirectory() as folder:
        if properties["TYPE"] == "vfat":
            subprocess.run(["mcopy", "-n", "-i", image, "::*", folder], check=True)
        else:
            listed = subprocess.run(["isoinfo", "-R", "-f", "-i", image], check=True, capture_output=True, text=True)
            for path in listed.stdout.splitlines():
                with open(folder + path, "wb") as file:
                    subprocess.run(["isoinfo", "-R", "-x", path, "-i", image], check=True, stdout=file)
        return callback(folder, data) if data is not None else callback(folder)


util.find_devs_with = find_devs_with
util.mount_cb = mount_cb
# Whatever this machine says of itself is not the guest's.
nocloud.dmi.read_dmi_data = lambda _: ""
util.get_cmdline = lambda: ""

with tempfile.TemporaryDirectory() as root:
    paths = helpers.Paths({"cloud_dir": root, "run_dir": root})
    source = nocloud.DataSourceNoCloud({"datasource": {"NoCloud": {}}}, None, paths)
    found = source.get_data()
    user_data = source.get_userdata_raw()
    result = {
        "found": found,
        "instance-id": source.get_instance_id() if found else None,
        "hostname": source.metadata.get("local-hostname") if found else None,
        "dsmode": source.dsmode,
        "interfaces": source.metadata.get("interfaces") if found else None,
        "network": repr(source.network_config) if found else None,
        "user-data": user_data if isinstance(user_data, str) else repr(user_data),
        "vendor-data": repr(source.get_vendordata_raw()),
        "subplatform": source.subplatform.replace(image, "SEED") if found else None,
    }
    json.dump(result, sys.stdout, indent=1, sort_keys=True)
