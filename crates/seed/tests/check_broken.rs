//! Broken documents, and what is said of each, where: `LINE:COLUMN severity: message`. Notes are left out.
//!
//! What was expected was written down from cloud-init's documentation and code; which of the documents do not fit
//! its schemas, and in which line, its own validator says.

use crate::support::{lines, pyyaml, validate};
use seed::check::{Document, Renderer, Report, Role, Severity, check, check_for};

/// A document and what is wrong with it.
struct Broken {
    role: Role,
    text: &'static str,
    expected: &'static [&'static str],
}

const fn user(text: &'static str, expected: &'static [&'static str]) -> Broken {
    Broken { role: Role::UserData, text, expected }
}

const fn network(text: &'static str, expected: &'static [&'static str]) -> Broken {
    Broken { role: Role::NetworkConfig, text, expected }
}

const fn meta(text: &'static str, expected: &'static [&'static str]) -> Broken {
    Broken { role: Role::MetaData, text, expected }
}

const BROKEN: &[Broken] = &[
    // Headers.
    user(
        "# cloud-config\nhostname: a\n",
        &["1:1 error: cloud-init ignores this: its first line does not say what it is (did you mean `#cloud-config`?)"],
    ),
    user(
        "#cloud_config\nhostname: a\n",
        &["1:1 error: cloud-init ignores this: its first line does not say what it is (did you mean `#cloud-config`?)"],
    ),
    user(
        "#cloud-confg\nhostname: a\n",
        &["1:1 error: cloud-init ignores this: its first line does not say what it is (did you mean `#cloud-config`?)"],
    ),
    user("hostname: a\n", &["1:1 error: cloud-init ignores this: its first line does not say what it is"]),
    user("---\n#cloud-config\nhostname: a\n", &["2:1 error: `#cloud-config` is not the first line"]),
    user("# mine\n#cloud-config\nhostname: a\n", &["2:1 error: `#cloud-config` is not the first line"]),
    user(
        "\u{feff}#cloud-config\nhostname: a\n",
        &["1:1 error: cloud-init ignores this: it begins with a byte order mark"],
    ),
    user("#cloud-configuration\nhostname: a\n", &["1:1 warning: `#cloud-configuration` is taken for `#cloud-config`"]),
    // YAML.
    user("#cloud-config\nhostname: a\n\tfqdn: b.c\n", &["3:1 error: no value can begin with a tab here"]),
    user("#cloud-config\nruncmd:\n- 'echo a\n", &["3:3 error: this quote is not closed"]),
    user("#cloud-config\npackages:\n- a\n  - b\nhostname a\n", &["5:1 error: a `:` is missing after this key"]),
    user("#cloud-config\nhostname: a: b\n", &["2:12 error: unexpected `:`: the line has a key and a value already"]),
    user(
        "#cloud-config\nusers:\n- name: a\n   gecos: b\n",
        &["4:9 error: unexpected `:`: the line has a key and a value already"],
    ),
    user("#cloud-config\npackages: [a, b\nhostname: c\n", &["3:9 error: a `,` or a `]` is needed here, but found `:`"]),
    user("#cloud-config\nhostname: @a\n", &["2:11 error: no value can begin with `@` here"]),
    user("#cloud-config\nfinal_message: %done\n", &["2:16 error: no value can begin with `%` here"]),
    user(
        "#cloud-config\nruncmd:\n- *.sh\n",
        &["3:4 error: an anchor's name has letters, digits, `-` and `_`, but found `.`"],
    ),
    user("#cloud-config\nruncmd:\n- !include x\n", &["3:3 error: cloud-init does not know the tag `!include`"]),
    user("#cloud-config\nhostname: a\n---\nfqdn: b.c\n", &["3:1 error: a second document begins here"]),
    user("#cloud-config\n- a\n- b\n", &["2:3 error: a cloud-config is a mapping of keys, not a list"]),
    user("#cloud-config\nhostname: \"a\\d\"\n", &["2:13 error: unknown escape"]),
    user(
        "#cloud-config\nhostname: a\nhostname: b\n",
        &["2:1 warning: the key `hostname` occurs again below: this one is ignored"],
    ),
    // The schema.
    user("#cloud-config\npackage: [a]\n", &["2:1 error: there is no key `package` (did you mean `packages`?)"]),
    user("#cloud-config\nrun_cmd: [a]\n", &["2:1 error: there is no key `run_cmd` (did you mean `runcmd`?)"]),
    user("#cloud-config\nnetwork: {version: 2}\n", &["2:1 error: there is no key `network`"]),
    user("#cloud-config\nlock_passwd: false\n", &["2:1 error: there is no key `lock_passwd`"]),
    user(
        "#cloud-config\nruncmd:\n- echo: hi\n",
        &["3:3 error: `runcmd[0]` is a list, a string or nothing, not a mapping"],
    ),
    user(
        "#cloud-config\nruncmd:\n- yes\n",
        &["3:3 error: `runcmd[0]` is a list, a string or nothing, not the boolean `true`"],
    ),
    user("#cloud-config\nruncmd: echo hi\n", &["2:9 error: `runcmd` is a list, not the string `echo hi`"]),
    user("#cloud-config\nruncmd: []\n", &["2:1 error: `runcmd` is empty"]),
    user(
        "#cloud-config\nwrite_files:\n- path: /a\n  permissions: 0644\n  content: x\n",
        &["4:16 error: `write_files[0].permissions` is a string, not the integer `420`"],
    ),
    user("#cloud-config\nwrite_files:\n- content: x\n", &["3:3 error: `write_files[0]` lacks the key `path`"]),
    user(
        "#cloud-config\nwrite_files:\n- path: /a\n  mode: '0644'\n  content: x\n",
        &["4:3 error: there is no key `mode` in `write_files[0]`"],
    ),
    user(
        "#cloud-config\npackage_update: 'yes'\n",
        &["2:17 error: `package_update` is a boolean, not the string `yes`"],
    ),
    user("#cloud-config\nhostname: 12\n", &["2:11 error: `hostname` is a string, not the integer `12`"]),
    user("#cloud-config\nntp:\n  servers: a.b\n", &["3:12 error: `ntp.servers` is a list, not the string `a.b`"]),
    user("#cloud-config\npower_state:\n  mode: restart\n", &["3:9 error: `power_state.mode` cannot be `restart`"]),
    user("#cloud-config\npower_state:\n  delay: 1\n", &["2:1 error: `power_state` lacks the key `mode`"]),
    user(
        "#cloud-config\ngrowpart: {mode: of}\n",
        &["2:18 error: `growpart.mode` cannot be `of` (did you mean `off`?)"],
    ),
    user(
        "#cloud-config\nusers:\n- default\n- name: a\n  expiredate: 2030-01-01\n  lock_passwd: true\n",
        &["5:15 error: `users[1].expiredate` is a string, not the date `2030-01-01`"],
    ),
    user(
        "#cloud-config\nssh_pwauth: sometimes\n",
        &["2:1 warning: `ssh_pwauth` has a deprecated form since cloud-init 22.3"],
    ),
    user(
        "#cloud-config\nchpasswd:\n  list: |\n    a:b\n",
        &["3:3 warning: `chpasswd.list` is deprecated since cloud-init 22.2"],
    ),
    user("#cloud-config\napt_update: true\n", &["2:1 warning: `apt_update` is deprecated since cloud-init 22.2"]),
    user("#cloud-config\nhostname:\n", &["2:1 error: `hostname` has no value: it is a string"]),
    // Beyond the schema.
    user(
        "#cloud-config\nusers:\n- name: a\n  plain_text_passwd: b\n  ssh_import_id: [gh:a]\n",
        &[
            "2:1 warning: the image's stock user, such as `ubuntu` or `debian`, is not created",
            "4:3 warning: `plain_text_passwd` has no effect: the password is locked",
        ],
    ),
    user(
        "#cloud-config\nusers:\n- default\n- name: a\n  lock_passwd: false\n  passwd: secret\n",
        &["6:11 error: `passwd` is not a password hash: no password matches it"],
    ),
    user(
        "#cloud-config\nusers:\n- name: a\n",
        &[
            "2:1 warning: the image's stock user, such as `ubuntu` or `debian`, is not created",
            "2:1 warning: none of these users can log in: they have neither a key nor a password that is not locked",
        ],
    ),
    user(
        "#cloud-config\nusers: [default, {name: a, sudo: 'NOPASSWD:ALL'}]\n",
        &["2:34 error: this is not a sudo rule"],
    ),
    user("#cloud-config\nusers: [default, {name: Ada}]\n", &["2:25 warning: `useradd` rejects the name `Ada`"]),
    user(
        "#cloud-config\nusers: [default, {name: a, groups: sudo docker}]\n",
        &["2:36 warning: this is read as the name of one group, with spaces in it"],
    ),
    user(
        "#cloud-config\nssh_authorized_keys:\n- ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB\n",
        &["3:3 error: the key is cut off"],
    ),
    user(
        "#cloud-config\nssh_authorized_keys:\n- ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIB0PdQpWwfl9Dx8RnsQ346eLOVD9HcIfG0xqrXWCrDVF a\n",
        &["3:3 error: the key says that it is `ssh-rsa`, but it is of type `ssh-ed25519`"],
    ),
    user(
        "#cloud-config\nssh_authorized_keys:\n- ~/.ssh/id_ed25519.pub\n",
        &["3:3 error: this is the name of a file, not a key"],
    ),
    user("#cloud-config\nssh_authorized_keys:\n- gh:ada\n", &["3:3 error: this says where a key is; it is not a key"]),
    user(
        "#cloud-config\nssh_authorized_keys:\n- |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  abc\n",
        &["3:3 error: this is a private key, which must stay secret"],
    ),
    user("#cloud-config\nssh_import_id: [ada]\n", &["2:17 warning: `ada` is read as a user of Launchpad"]),
    user(
        "#cloud-config\nwrite_files:\n- {path: /tmp/a, content: b}\n",
        &["3:10 warning: `/tmp/a` does not last: `/tmp` is emptied while the guest starts"],
    ),
    user("#cloud-config\nwrite_files:\n- {path: ~/a, content: b}\n", &["3:10 error: `~/a` is not an absolute path"]),
    user(
        "#cloud-config\nmounts:\n- [/dev/vdb, /data]\nwrite_files:\n- {path: /data/a, content: b}\n",
        &["5:10 warning: `/data/a` is hidden: `mounts` puts a file system on `/data` later"],
    ),
    user(
        "#cloud-config\nusers: [default, {name: ada}]\nwrite_files:\n- {path: /home/ada/x, content: b, owner: 'ada:ada'}\n",
        &[
            "4:10 warning: `/home/ada/x` is written before `ada` has a home: it keeps `useradd` from making one",
            "4:42 error: `ada` does not exist yet when the file is written",
        ],
    ),
    user(
        "#cloud-config\nwrite_files:\n- {path: /a, content: b, permissions: 'rwx'}\n",
        &["3:39 error: `rwx` is not a mode: the file gets 0644"],
    ),
    user(
        "#cloud-config\nwrite_files:\n- {path: /a, content: b, permissions: 644}\n",
        &[
            "3:39 error: `write_files[0].permissions` is a string, not the integer `644`",
            "3:39 error: the mode is 01204, not 644",
        ],
    ),
    user(
        "#cloud-config\nwrite_files:\n- {path: /a, content: 'no base', encoding: b64}\n",
        &["3:23 error: the content is not base64"],
    ),
    user(
        "#cloud-config\nwrite_files:\n- {path: /a, content: b}\n- {path: /a, content: c}\n",
        &["3:10 warning: `/a` is written again later: this content is lost"],
    ),
    user(
        "#cloud-config\nruncmd:\n- apt-get install nginx\n",
        &["3:3 warning: this command waits for an answer, but nobody is there to give it"],
    ),
    user("#cloud-config\npackages: [nginx curl]\n", &["2:12 error: `nginx curl` is read as the name of one package"]),
    user("#cloud-config\nhostname: my host\n", &["2:11 error: `my host` is not a valid host name: it has a space"]),
    user(
        "#cloud-config\npassword: a\nchpasswd: {expire: false}\nusers: [{name: b, ssh_import_id: [gh:b]}]\n",
        &[
            "2:1 warning: this is the stock user's password, but `users` has no `default`",
            "4:1 warning: the image's stock user, such as `ubuntu` or `debian`, is not created",
        ],
    ),
    user(
        "#cloud-config\nchpasswd:\n  expire: false\n  users:\n  - {name: a, password: secret}\n",
        &["5:25 error: this is not a password hash: no password matches it"],
    ),
    // Other kinds.
    user(
        "#!/bin/sh\r\necho\r\n",
        &["1:1 error: the script has Windows line ends, which become part of the interpreter's name"],
    ),
    user("\n#!/bin/sh\n", &["1:1 error: something precedes the script's `#!`"]),
    user("#!bash\n", &["1:1 error: the script's interpreter is not an absolute path"]),
    user("#cloud-boothook\necho\n", &["2:1 warning: a boothook's second line does not begin with `#!`"]),
    user("#include\nexample.org/a\n", &["2:1 error: `example.org/a` is not an address"]),
    user(
        "#part-handler\ndef list_types():\n  return []\n",
        &["1:1 error: this part handler has no function `handle_part`"],
    ),
    user(
        "#cloud-config-jsonp\n[{\"op\": \"ad\", \"path\": \"/a\"}]\n",
        &["2:2 error: an operation needs an `op`, and a `path` that begins with `/`"],
    ),
    user("## template: jinja\n#cloud-config\nhostname: {{ v1.x }\n", &["3:11 error: `{{` has no closing `}}`"]),
    user(
        "## template: jinja\n#cloud-config\nhostname: {{ v1.x }}\npackage: [a]\n",
        &["4:1 error: there is no key `package` (did you mean `packages`?)"],
    ),
    user(
        "#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    packag: [a]\n",
        &["1:1 error: there is no key `packag` (did you mean `packages`?)"],
    ),
    user(
        "Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/cloud-config\n\n#cloud-config\nrunmcd: [a]\n--b--\n",
        &["8:1 error: there is no key `runmcd` (did you mean `runcmd`?)"],
    ),
    user(
        "Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n\n--c\n\nx\n--c--\n",
        &["1:1 error: no part begins with `--b`"],
    ),
    user(
        "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n--b\nContent-Type: text/shellscript\n\n#!/bin/sh\n--b--\n",
        &["7:1 warning: cloud-init ignores a part of type `text/shellscript` (did you mean `text/x-shellscript`?)"],
    ),
    // What cloud-init takes for something else than its type says, or starts in vain.
    user(
        "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n--b\nContent-Type: text/x-shellscript\n\n#cloud-config\nhostname: a\n--b--\n",
        &["7:1 warning: this does not run as a script: cloud-init reads it as a cloud-config"],
    ),
    user(
        "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n--b\nContent-Type: text/x-shellscript\n\n# cloud-config\nls\n--b--\n",
        &["7:1 error: a part of type `text/x-shellscript` does not begin with `#!`"],
    ),
    user(
        "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\n\n--b\nContent-Type: text/x-shellscript-per-boot\n\n#cloud-config\nhostname: a\n--b--\n",
        &[
            "7:1 warning: the part claims to be `text/x-shellscript-per-boot`, but it begins like a cloud-config",
            "7:1 error: a part of type `text/x-shellscript-per-boot` does not begin with `#!`",
        ],
    ),
    // What may be meant, and what cloud-init does not refuse.
    user(
        "#include\nhttps://example.org/{{ v1.region }}/a\n{{ url }}\n",
        &[
            "2:1 warning: cloud-init does not replace `{{` here: it is part of the address",
            "3:1 warning: cloud-init does not replace `{{` here: it is part of the address",
        ],
    ),
    user(
        "## template: jinja\n#include\nhttps://example.org/a\n",
        &["2:1 error: cloud-init ignores a template whose content begins with `#include`"],
    ),
    user(
        "#cloud-config\nsnap:\n  commands:\n    00: snap install a\n    1: [snap, install, b]\n",
        &["4:5 warning: the key `0` is an integer, not a text", "5:5 warning: the key `1` is an integer, not a text"],
    ),
    // The network.
    network("ethernets:\n  eth0: {dhcp4: true}\n", &["1:1 error: the `version` is missing"]),
    network("version: '2'\nethernets: {}\n", &["1:10 error: unknown version of a network-config: 1 and 2 are valid"]),
    network(
        "version: 2\nethernets:\n  eth0:\n    dhcp: true\n",
        &["4:5 warning: neither cloud-init nor netplan knows `dhcp` (did you mean `dhcp4`?)"],
    ),
    network(
        "version: 2\nethernets:\n  eth0:\n    dhcp4: 'true'\n",
        &["4:12 warning: `ethernets.eth0.dhcp4` is `true` without quotes, not the string"],
    ),
    network(
        "version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.2]\n    gateway4: 10.0.0.1\n",
        &["4:17 error: `10.0.0.2` has no prefix length", "5:5 warning: `gateway4` is deprecated: netplan warns of it"],
    ),
    network(
        "version: 2\nethernets:\n  eth0:\n    match: {macaddress: 12:34:56:07:09:11}\n    dhcp4: true\n",
        &["4:25 error: `ethernets.eth0.match.macaddress` is a string, not the integer `9783961751`"],
    ),
    network(
        "version: 2\nethernets:\n  eth0:\n    match: {macaddress: '52:54:00:12:34'}\n",
        &["4:25 error: `52:54:00:12:34` is not a MAC address"],
    ),
    network(
        "version: 2\nethernets:\n  eth0: {set-name: lan, dhcp4: true}\n",
        &["3:10 error: `set-name` needs a `match` that says which interface gets the name"],
    ),
    network(
        "version: 2\nethernets:\n  en*: {dhcp4: true}\n",
        &["3:3 warning: `en*` is read as the name of one interface"],
    ),
    network(
        "version: 2\nethernets: {eth0: {}}\nbridges: {br0: {interfaces: [eth1]}}\n",
        &["3:30 warning: there is no interface `eth1` here (did you mean `eth0`?)"],
    ),
    network(
        "network: {version: 2, ethernets: {}}\nextra: 1\n",
        &[
            "1:11 warning: this configures no interface, so the guest has no network",
            "2:1 error: a key cannot stand beside `network`",
        ],
    ),
    network("version: 1\nconfig:\n- type: phys\n  name: eth0\n", &["3:9 error: `config[0].type` cannot be `phys`"]),
    network(
        "version: 1\nconfig:\n- type: physical\n  name: eth0\n  subnets: [{type: static}]\n",
        &["5:14 error: a static subnet has no `address`"],
    ),
    network(
        "version: 1\nconfig:\n- type: physical\n  nam: eth0\n",
        &[
            "1:1 warning: this configures no interface, so the guest has no network",
            "3:3 error: `config[0]` lacks the key `name`",
            "4:3 error: there is no key `nam` in `config[0]` (did you mean `name`?)",
        ],
    ),
    network("#cloud-config\npackages: [a]\n", &["2:1 error: this is user-data, but it was given as network-config"]),
    // Meta-data.
    meta("local-hostname: a\n", &["1:1 warning: there is no `instance-id`"]),
    meta(
        "instance_id: a\n",
        &[
            "1:1 warning: there is no `instance-id`",
            "1:1 warning: cloud-init ignores `instance_id` (did you mean `instance-id`?)",
        ],
    ),
    meta("instance-id:\n", &["1:1 error: the `instance-id` is empty"]),
    meta("- a\n", &["1:3 error: meta-data is a mapping of keys, not a list"]),
    meta(
        "instance-id: a\nlocal-hostname: a_\n",
        &["2:17 warning: `a_` has a `_`, which name servers and some programs reject"],
    ),
];

fn look(broken: &Broken) -> Report {
    check(&[Document { name: broken.role.name(), role: broken.role, bytes: broken.text.as_bytes() }])
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    assert!(BROKEN.len() > 90, "{}", BROKEN.len());
    let mut differing = Vec::new();
    for broken in BROKEN {
        let report = look(broken);
        let told = report.findings.iter().filter(|finding| finding.severity != Severity::Note);
        let said: Vec<String> = told
            .map(|finding| {
                let place = report.position(finding).map_or("-".to_owned(), |at| format!("{}:{}", at.line, at.column));
                let label = finding.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
                format!("{place} {}: {}{label}", finding.severity.name(), finding.message)
            })
            .collect();
        if said != broken.expected {
            differing.push(format!("{}\n  said:     {said:#?}\n  expected: {:#?}", broken.text, broken.expected));
        }
    }
    assert!(differing.is_empty(), "{}:\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn cloud_init_finds_the_same_documents_wrong_in_the_same_lines() {
    let mut seen = 0;
    for schema in ["schema-cloud-config-v1", "schema-network-config-v1", "schema-network-config-v2"] {
        let of_schema = |broken: &&Broken| match broken.role {
            Role::UserData => schema.contains("cloud") && broken.text.starts_with("#cloud-config\n"),
            Role::NetworkConfig => {
                broken.text.contains(&format!("version: {}", &schema[schema.len() - 1..])) && !schema.contains("cloud")
            }
            _ => false,
        };
        let all: Vec<&Broken> = BROKEN.iter().filter(of_schema).collect();
        let texts: Vec<String> = all.iter().map(|broken| broken.text.to_owned()).collect();
        let is_mapping: Vec<bool> = pyyaml(&texts).iter().map(|said| said.starts_with('{')).collect();
        for (broken, is_mapping) in all.iter().zip(&is_mapping) {
            assert_eq!(finds(&look(broken), "yaml"), !is_mapping, "{}", broken.text);
        }
        let read: Vec<&Broken> =
            all.iter().zip(&is_mapping).filter(|(_, is)| **is).map(|(broken, _)| *broken).collect();
        let texts: Vec<String> = read.iter().map(|broken| broken.text.to_owned()).collect();
        for ((broken, (is_invalid, _)), theirs) in read.iter().zip(validate(schema, &texts)).zip(lines(schema, &texts))
        {
            // netplan takes some of it, and cloud-init's schema is asked only where there is no netplan.
            let document = Document { name: broken.role.name(), role: broken.role, bytes: broken.text.as_bytes() };
            let report = check_for(Renderer::CloudInit, &[document]);
            assert_eq!(is_invalid, finds(&report, "schema"), "{}", broken.text);
            let ours = report.findings.iter().filter(|finding| finding.rule == "schema");
            let ours: Vec<usize> = ours.map(|finding| report.position(finding).unwrap().line).collect();
            // Where a value has several forms, cloud-init may tell of it in the line where the value begins.
            let is_near = |line: &usize| ours.iter().any(|ours| line == ours || line + 1 == *ours);
            assert!(theirs.is_empty() || theirs.iter().any(is_near), "{}: {theirs:?} {ours:?}", broken.text);
            seen += usize::from(!theirs.is_empty());
        }
    }
    assert!(seen >= 10, "{seen}");
}

fn finds(report: &Report, rule: &str) -> bool {
    report.findings.iter().any(|finding| finding.rule == rule && finding.severity == Severity::Error)
}
