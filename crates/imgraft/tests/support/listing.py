"""listing.py ROOT: all that programs can see of each file of one file system, a line for each path."""

import hashlib
import json
import os
import stat
import sys

root = os.fsencode(sys.argv[1])
volume = os.lstat(root).st_dev


def show(path):
    found = os.lstat(path)
    facts = {
        "path": os.fsdecode(b"/" + os.path.relpath(path, root)),
        "mode": found.st_mode,
        "owner": [found.st_uid, found.st_gid],
        "modified": found.st_mtime_ns,
        "xattrs": {name: os.getxattr(path, name, follow_symlinks=False).hex()
                   for name in sorted(os.listxattr(path, follow_symlinks=False))},
    }
    if not stat.S_ISDIR(found.st_mode):
        facts.update(links=found.st_nlink, size=found.st_size, device=found.st_rdev)
    if stat.S_ISLNK(found.st_mode):
        facts["target"] = os.fsdecode(os.readlink(path))
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as file:
            facts["content"] = hashlib.md5(file.read()).hexdigest()
    print(json.dumps(facts, sort_keys=True))


show(root)
for folder, folders, files in os.walk(root):
    folders.sort()
    for name in sorted(folders + files):
        show(os.path.join(folder, name))
    folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == volume]
