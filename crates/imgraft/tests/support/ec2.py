"""What the real cloud-init's data source Ec2 crawls from the metadata service at the address given, as JSON.

It is told that this is Amazon, so that it asks for a token first.
"""
import json
import sys
import tempfile

from cloudinit import helpers
from cloudinit.sources import DataSourceEc2 as ec2

url = sys.argv[1]
ec2.identify_platform = lambda: ec2.CloudNames.AWS


def decoded(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: decoded(value) for key, value in value.items()}
    return value


with tempfile.TemporaryDirectory() as root:
    paths = helpers.Paths({"cloud_dir": root, "run_dir": root})
    source = ec2.DataSourceEc2({"datasource": {"Ec2": {"metadata_urls": [url]}}}, None, paths)
    crawled = source.crawl_metadata()
    source.metadata = crawled["meta-data"]
    source.identity = crawled.get("dynamic", {}).get("instance-identity", {}).get("document", {})
    json.dump({
        "has a token": bool(source._api_token),
        "version": source.get_metadata_api_version(),
        "instance-id": source.get_instance_id(),
        "zone": source.availability_zone,
        "region": source.region,
        "keys": source.get_public_ssh_keys(),
        "crawled": decoded(crawled),
    }, sys.stdout, indent=1, sort_keys=True)
