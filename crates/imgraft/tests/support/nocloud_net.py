"""What the real cloud-init's data source NoCloud reads over the network, as JSON.

The line given is what this machine is told on its kernel's command line (`cmdline`) or by its firmware (`dmi`).
"""
import json
import sys
import tempfile

from cloudinit import helpers, util
from cloudinit.sources import DataSourceNoCloud as nocloud
from cloudinit.sources import DSMODE_NETWORK

way, line = sys.argv[1:]
util.find_devs_with = lambda *_, **__: []
util.get_cmdline = lambda: "root=LABEL=x ro %s quiet" % (line if way == "cmdline" else "")
told = {"system-serial-number": line if way == "dmi" else "", "system-uuid": "4C4C4544-0042-3510"}
nocloud.dmi.read_dmi_data = lambda key: told.get(key, "")

with tempfile.TemporaryDirectory() as root:
    paths = helpers.Paths({"cloud_dir": root, "run_dir": root})
    # Before there is a network, it is to be left alone.
    before = nocloud.DataSourceNoCloud({"datasource": {"NoCloud": {}}}, None, paths)
    found_before = before.get_data()
    source = nocloud.DataSourceNoCloudNet({"datasource": {"NoCloud": {}}}, None, paths)
    found = source.get_data()
    user_data = source.get_userdata_raw()
    json.dump({
        "found before there is a network": found_before,
        "found": found,
        # Else the network stage leaves it alone.
        "is of the network": source.dsmode == DSMODE_NETWORK,
        "instance-id": source.get_instance_id() if found else None,
        "hostname": source.metadata.get("local-hostname") if found else None,
        "network": repr(source.network_config) if found else None,
        "user-data": user_data.decode() if isinstance(user_data, bytes) else user_data,
        "vendor-data": repr(source.get_vendordata_raw()),
    }, sys.stdout, indent=1, sort_keys=True)
