//! What errors mean whose message has no room for it: a code each, and the text that `imgraft explain CODE` prints.

/// Something that needs more than a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) code: &'static str,
    /// What it is about, in a line.
    pub(crate) about: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) const IN_USE: Topic = Topic {
    code: "in-use",
    about: "another process has the image open",
    text: "\
imgraft takes the same locks on an image's file as QEMU does. A virtual machine that runs from the image, qemu-img,
qemu-nbd and another imgraft all hold such a lock, and the message says whether they write or only read.

Two that write to one disk destroy its file systems, and so does one that reads what changes meanwhile. So an image
that somebody writes to is neither changed nor built upon; `ls`, `cat`, `get`, `inspect` and `check` look at it all
the same, and warn.

  fuser -v IMAGE                 who has it open
  virsh list                     machines that run
  virsh shutdown NAME            has one shut down

To build upon the disk of a machine that has to run on, take a copy or a snapshot of it while the machine is paused.
A lock ends with the process that holds it: there is no lock file that could be left behind.
",
};

pub(crate) const HOST_FULL: Topic = Topic {
    code: "host-full",
    about: "this machine has no room for what has to be written",
    text: "\
A build needs room in two places. Nothing was changed, and what had been written is gone.

The folder of the new image:
  It needs as much as the image's file will have: about what the base's file has, and what goes in, compressed. `-o`
  names an image in another folder. A raw image is sparse, and still larger than a qcow2.

The folder for what does not fit memory (TMPDIR, else /tmp):
  Compressed bases are unpacked there, and changes of more than 16 MiB and what commands in the guest write are kept
  there. `TMPDIR=/var/tmp imgraft …` takes another folder: /tmp is memory on many machines.

Bases that were fetched are in the cache, ~/.cache/imgraft as a rule:
  imgraft cache list             what is in it
  imgraft cache prune            removes what is no longer needed
  --cache-dir FOLDER             has it elsewhere
",
};

pub(crate) const GUEST_FULL: Topic = Topic {
    code: "guest-full",
    about: "the guest's file system has no room for what goes in",
    text: "\
A stock cloud image has little free space: its root grows when it first boots, to the size of the disk that it is
given. What is put into it before that needs room now.

  imgraft inspect IMAGE          free space of each file system
  --size +2G                     makes the disk so much larger, and the root with it, before anything else is done
  size = \"+2G\"                   the same at the top of a recipe
  imgraft build --dry-run …      says how much room the changes take

In a qcow2 and in a sparse raw image, room that nothing is written to takes no room on this machine. Only the last
partition of a disk can grow: something that goes to /boot or /boot/efi needs room there, and `--size` does not help.

An ext4 also has a fixed number of inodes, one for each file. Growing adds some in proportion.
",
};

pub(crate) const NO_RUNNER: Topic = Topic {
    code: "no-runner",
    about: "commands in the guest cannot be run on this machine",
    text: "\
`--run`, `--install` and the like run the guest's own programs in namespaces of their own, without a virtual machine.
`imgraft doctor` says what this machine has of what that needs, and the remedy for each thing that it lacks. Verbs that
run nothing, such as `--put` and `--write`, need none of it.

User namespaces, for everybody but root:
  Ubuntu 23.10 and later restrict them by AppArmor. Either allow imgraft alone, by a profile in /etc/apparmor.d with
      abi <abi/4.0>,
      include <tunables/global>
      profile imgraft /path/to/imgraft flags=(unconfined) {
        userns,
      }
  and `sudo apparmor_parser -r` on that file, or allow everybody:
      sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0

Subordinate ids, which stand for the guest's users:
      sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER
  together with the package `uidmap`. Without them, imgraft records owners itself, which most packages can live with.

In a container:
  Docker's and Podman's defaults allow neither namespaces nor mounts. As root, `--runner unpack` does with a folder and
  `chroot`; it keeps less of the container from the commands. Or start the container with
      --security-opt seccomp=unconfined --security-opt apparmor=unconfined --device /dev/fuse

A guest of another architecture needs qemu-user, registered with the kernel: the package `qemu-user-static` on Debian
and Ubuntu, `qemu-user-binfmt` in Debian 13 and Ubuntu 25.04 or later.

What can wait until the guest itself runs needs nothing here: `--first-boot-command`, `--first-boot-install`.
",
};

pub(crate) const LIMITS: Topic = Topic {
    code: "limits",
    about: "a command in the guest was ended by a limit of time or memory",
    text: "\
Limits are for each step by itself: each `--run`, `--run-script`, `--install`, `--uninstall` and `--update`, with
everything that it starts. Without a limit, a step may use what this machine has. When one is reached, every process
of the step is killed, and nothing is changed.

  --timeout 20m                  a time: seconds, or a number and s, m or h
  --memory 2G                    memory: a number and M or G
  timeout = \"20m\"                the same at the top of a recipe; the command line wins
  memory = \"2G\"

Memory is what all processes of a step have together. Where the user may make a cgroup, the kernel keeps it exactly.
Elsewhere it is counted ten times a second, and one process alone gets no more than the limit: its allocations
fail then, and programs say `Cannot allocate memory` and the like. /tmp, /run and /dev/shm are in memory, too, and
have a part of the limit.
",
};

pub(crate) const FILE_SYSTEM: Topic = Topic {
    code: "file-system",
    about: "the guest's root is on a file system that imgraft does not write",
    text: "\
imgraft reads and writes ext2, ext3, ext4, XFS and FAT, on a partition, on a logical volume of LVM or on the whole disk.

It reads, and does not write:

  btrfs       Fedora Cloud, openSUSE; on a single device, subvolumes, too
  xfs         of version 4, with a feature that imgraft does not know, or with a log that was left dirty: the
              message says which. Linux carries the changes in the log out when it mounts the file system; boot the
              image once and shut it down

So `inspect`, `ls`, `cat`, `get`, `mount --read-only`, `diff`, `boot` and `test` work with such an image, and a build
may change what is on its other partitions: `/boot` if it is ext4, the EFI system partition.

It does not read:

  LUKS        encrypted disks
  LVM         volumes that are thin, cached, mirrored, of RAID or in a snapshot

Cloud images of Ubuntu and Debian have ext4, and `imgraft fetch --list` names those that imgraft finds by itself. To
change the others, use the libguestfs tools (`virt-customize`, `guestfish`), which start a virtual machine
with Linux's own drivers, or a first boot: `imgraft seed iso` makes a seed for cloud-init, which any of them reads.

  imgraft inspect IMAGE          what each partition has
",
};

pub(crate) const BACKING_FILE: Topic = Topic {
    code: "backing-file",
    about: "the image names another file that it needs",
    text: "\
A thin qcow2 (an overlay) has only what differs from a backing file, whose name is written in it. Whoever made the
image chose that name, and it may be any file that you can read, such as a key: what is in it would become part of the
disk. So imgraft opens no such file unless you say so.

  qemu-img info IMAGE            the name that it has
  --allow-backing                opens it, for an image that you made yourself or trust
  imgraft convert IMAGE OUT --allow-backing
                                 makes an image that needs no other file

A backing file without a stated format is looked at, and refused if it names a further file.
",
};

pub(crate) const UNVERIFIED: Topic = Topic {
    code: "unverified",
    about: "a base is not what its publisher signed, or nobody knows who signed it",
    text: "\
A base that goes by a name, such as ubuntu:24.04, is used only after this: the publisher's list of digests is signed
by a key whose fingerprint imgraft knows, the image's digest is in the list, and the file has that digest. Debian signs
no such list: it is taken if it came over TLS, and that is said.

The signature is not accepted:
  A mirror, a proxy or an attacker may have changed the list, or the publisher has a new key. Compare with the
  publisher's own site, over another network if you can. `--signer FINGERPRINT` accepts a key that you have checked,
  `--keyring FILE` takes keys from a file of yours and from nowhere else.

The file has another digest:
  It came damaged, or the mirror is between two builds. It was removed; try again later, or with another `--mirror`.

Without any of this:
  An address with its digest, which you have from somebody whom you trust, needs no signature:
      imgraft build --base 'https://example.com/disk.img#sha256:…'
  `--insecure` uses the publisher's list without verifying it.

imgraft.lock beside a recipe has the digest that was verified. Later builds take that one and nothing else.
",
};

pub(crate) const DAMAGED: Topic = Topic {
    code: "damaged",
    about: "an image is damaged, or errors were noted in its file system",
    text: "\
imgraft does not write to what it cannot understand completely: an edit of a damaged file system makes more damage.

  imgraft check IMAGE            what is wrong, by layer: qcow2, partition table, ext4, XFS, FAT
  imgraft check --repair IMAGE   makes a qcow2's reference counts right, after a crash, say

A file system in it is repaired by its own tools, on a raw copy or through a block device:
  imgraft convert IMAGE disk.raw
  sudo losetup -fP --show disk.raw
  sudo e2fsck -f /dev/loop0p1

A file that is cut short was not downloaded completely: compare its digest with the publisher's, and fetch it again.

Linux notes in an ext4 that it met an error; e2fsck takes the note away. `--ignore-fs-errors` has imgraft write to it
all the same, and leaves the note where it is.
",
};

/// All of them, in the order in which they are listed.
pub(crate) const TOPICS: [&Topic; 9] =
    [&BACKING_FILE, &DAMAGED, &FILE_SYSTEM, &GUEST_FULL, &HOST_FULL, &IN_USE, &LIMITS, &NO_RUNNER, &UNVERIFIED];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_has_a_code_of_its_own_and_a_text() {
        assert!(TOPICS.is_sorted_by(|one, other| one.code < other.code));
        for Topic { code, about, text } in TOPICS {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
            assert!(!about.is_empty() && !about.ends_with('.') && about.len() < 80, "{about}");
            assert!(text.ends_with('\n') && text.lines().count() > 3, "{code}");
            assert!(text.lines().all(|line| line.chars().count() <= 120), "{code}");
        }
    }
}
