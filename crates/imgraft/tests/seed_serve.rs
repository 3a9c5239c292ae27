//! `imgraft seed serve`: what it says and keeps, and whether it stands a thousand guests.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::World;
use crate::support::serving::Serving;
use testkit::judge::judge;

#[test]
fn it_says_where_it_is_and_what_it_is_asked() {
    let world = World::empty();
    world.file("seeds/web-1/user-data", "#cloud-config\n{}\n").file("seeds/shared.sh", "#!/bin/sh\n");
    let arguments = "seed serve seeds --other-files --user ada --log requests --phone-home-dir done";
    let serving = Serving::start(&world, arguments, &[]);
    let get =
        |path: &str| judge("curl").args(["-sS", "-A", "me/1", &format!("{}{path}", serving.url)]).succeed().stdout;
    assert_eq!(get("web-1/user-data"), "#cloud-config\n{}\n");
    assert!(get("user-data").contains("- name: \"ada\""));
    assert_eq!(get("shared.sh"), "#!/bin/sh\n");
    world.file("seeds/web-1/user-data", "changed");
    assert_eq!(get("web-1/user-data"), "changed");
    assert!(get("web-2/user-data").starts_with("404 "));
    let call = format!("{}phone-home", serving.url);
    judge("curl").args(["-sSf", "-d", "instance_id=..%2fi&hostname=web", &call]).succeed();
    let said = serving.end();
    let (warned, said) = said.split_once("serving; ").unwrap_or_else(|| panic!("{said}"));
    assert!(warned.starts_with("warning: `ada` cannot log in: "), "{warned}");
    assert!(said.starts_with("a guest in QEMU's user network finds it at http://10.0.2.2:"), "{said}");
    assert!(
        said.contains("\nit is told so with -smbios 'type=1,serial=ds=nocloud;dsmode=net;s=http://10.0.2.2:"),
        "{said}"
    );
    assert!(said.contains(" GET /web-1/user-data 200 17 me/1\n"), "{said}");
    assert!(said.contains("phoned home: instance `../i`, `web`\n"), "{said}");

    let program = "import json, sys\nfor line in open(sys.argv[1]):\n    line = json.loads(line)\n    \
                   print(line['time'][:2], line.get('method'), line.get('target'), line.get('status'), line.get('phone_home'))";
    let lines = judge("/usr/bin/python3").args(["-c", program]).arg(world.path("requests")).succeed().stdout;
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert_eq!(lines[0], "20 GET /web-1/user-data 200 None");
    assert_eq!(lines[4], "20 GET /web-2/user-data 404 None");
    assert_eq!(lines[5], "20 None None None {'hostname': 'web', 'instance_id': '../i'}");
    let record = fs::read_to_string(world.path("done/_i.json")).unwrap();
    assert_eq!(record, "{\n  \"hostname\": \"web\",\n  \"instance_id\": \"../i\"\n}\n");
    assert_eq!(fs::read_dir(world.path("done")).unwrap().count(), 1);
}

/// A folder that is somebody's working tree.
#[test]
fn what_is_no_seeds_file_or_hidden_is_not_handed_out() {
    let world = World::empty();
    for name in [".git/config", ".ssh/id", ".user-data", "web-1/.ssh/id", "web-1/notes", "id_rsa", "a/b/user-data"] {
        world.file(&format!("seeds/{name}"), "secret");
    }
    for name in ["user-data", "web-1/user-data", ".git/user-data"] {
        world.file(&format!("seeds/{name}"), "#cloud-config\n{}\n");
    }
    let hidden = [
        "/.git/config",
        "/%2egit/config",
        "/%2Egit/config",
        "/.ssh/id",
        "/.%73sh/id",
        "/.user-data",
        "/web-1/.ssh/id",
        "/web-1/%2essh/id",
        "/.git/user-data",
        "/%2egit/user-data",
        "/web-1/../.git/config",
    ];
    let others = ["/web-1/notes", "/id_rsa", "/a/b/user-data"];
    for (option, opened) in [("", 404), (" --other-files", 200)] {
        let serving = Serving::start(&world, &format!("-q seed serve seeds{option}"), &[]);
        let status = |path: &str| {
            let url = format!("{}{path}", serving.url.trim_end_matches('/'));
            let arguments = ["-sS", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", &url];
            judge("curl").args(arguments).succeed().stdout.parse::<u16>().unwrap()
        };
        assert_eq!((status("/user-data"), status("/web-1/user-data")), (200, 200));
        for path in hidden {
            assert!(matches!(status(path), 400 | 404), "{option} {path}");
        }
        for path in others {
            assert_eq!(status(path), opened, "{option} {path}");
        }
    }
}

/// A token guards nothing where the same is to be had without one.
#[test]
fn without_the_addresses_of_nocloud_a_token_is_the_only_way_to_a_seed() {
    let world = World::empty();
    world.file("seeds/web-1/user-data", "#cloud-config\n{}\n");
    for (option, opened) in [("", 200), (" --no-nocloud", 404)] {
        let arguments = format!("-q seed serve seeds --imds v2 --user ada{option}");
        let serving = Serving::start(&world, &arguments, &[]);
        let curl = |path: &str, more: &[&str]| {
            let arguments = ["-sS", "-w", "\n%{http_code}", &format!("{}{path}", serving.url)];
            let stdout = judge("curl").args(arguments).args(more).succeed().stdout;
            let (body, status) = stdout.rsplit_once('\n').unwrap();
            (status.parse::<u16>().unwrap(), body.to_owned())
        };
        for path in ["user-data", "meta-data", "web-1/user-data", "vendor-data"] {
            let (status, body) = curl(path, &[]);
            assert_eq!(status, opened, "{option} {path}");
            assert!(status == 200 || !body.contains("cloud-config"), "{option} {path}: {body}");
        }
        assert_eq!(curl("latest/user-data", &[]).0, 401);
        let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60";
        let (status, token) = curl("latest/api/token", &["-X", "PUT", "-H", ttl]);
        assert_eq!(status, 200);
        let (status, body) = curl("latest/user-data", &["-H", &format!("X-aws-ec2-metadata-token: {token}")]);
        assert!(status == 200 && body.contains("ada"), "{status} {body}");
        assert_eq!(curl("phone-home", &["-d", "instance_id=i"]).0, 200);
    }
    let help = world.run("seed serve --help").succeeds().stdout;
    assert!(help.contains("--no-nocloud") && help.contains("without a token"), "{help}");
}

#[test]
fn it_ends_when_all_have_phoned_home() {
    let world = World::empty();
    let mut serving = Serving::start(&world, "-q seed serve --until-phone-home 2", &[]);
    let call = format!("{}phone-home", serving.url);
    for id in ["one", "one", "two"] {
        judge("curl").args(["-sSf", "-d", &format!("instance_id={id}"), &call]).succeed();
    }
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    assert_eq!(serving.end(), "");
}

#[test]
fn one_connection_can_be_standard_input_and_output() {
    let world = World::empty();
    let ask = |requests: &str| {
        let mut command = world.command("-q seed serve --inetd --hostname web --log requests");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(requests.as_bytes()).unwrap();
        let mut answer = String::new();
        child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
        assert!(child.wait().unwrap().success());
        answer
    };
    let hostname = "GET /latest/meta-data/hostname HTTP/1.1\r\nHost: x\r\n";
    let answers = ask(&format!("{hostname}\r\n{hostname}Connection: close\r\n\r\n"));
    assert_eq!(answers.matches("\r\n\r\nweb").count(), 2, "{answers}");
    // A token of one process is good for the next.
    let put = "PUT /latest/api/token HTTP/1.0\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";
    let answer = ask(put);
    let token = answer.rsplit_once("\r\n\r\n").unwrap().1;
    let answer = ask(&format!("{hostname}X-aws-ec2-metadata-token: {token}\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(fs::read_to_string(world.path("requests")).unwrap().lines().count(), 4);
}

/// What is served may be all that a guest gets: nobody could log in, and nothing said so.
#[test]
fn a_user_who_is_locked_out_is_warned_of() {
    let world = World::empty();
    let said = |arguments: &str| {
        let mut command = world.command(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let warning = "`ada` cannot log in: there is neither a key nor a password";
    let locked_out = said("seed serve --inetd --user ada");
    assert!(locked_out.contains(warning), "{locked_out}");
    world.file("key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDm0n2rN0B4rGmBRHRCYcmOsC0rSgI0z4jvJ9dpVxN1E ada\n");
    let let_in = said("seed serve --inetd --user ada --ssh-key key.pub");
    assert!(!let_in.contains("cannot log in"), "{let_in}");
}

#[test]
fn what_cannot_be_served_is_said_before_anybody_asks() {
    let world = World::empty();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    world.refuses(
        &format!("seed serve --listen {address}"),
        &format!(
            "error: `{address}` cannot be listened at\n  cause: address already in use\n\
             hint: --listen takes an address of this machine, and a port that is free: 0 is any\n"
        ),
    );
    world.refuses("seed serve none", "error: `none` cannot be served\n  cause: no such file or directory\n");
    world.refuses(
        "seed serve --log none/log",
        "error: `none/log` cannot be written\n  cause: no such file or directory\n",
    );
    world.refuses("seed serve --user-data none", "error: `none` cannot be read\n  cause: no such file or directory\n");
}

/// How many guests boot, and how many of them at a time.
const GUESTS: usize = 1000;
const AT_ONCE: usize = 50;
/// The most memory that the server may ever have had, in KiB.
const PEAK_KIB: u64 = 32 << 10;

/// As cloud-init asks: each time over another connection.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{request}: {answer}");
    answer
}

#[test]
fn a_thousand_guests_fifty_at_once_get_their_own_without_an_error() {
    let world = World::empty();
    for guest in 0..GUESTS {
        world.file(&format!("seeds/guest-{guest}/user-data"), format!("#cloud-config\n# {guest}.\n"));
    }
    let vendor_data = "#cloud-config\n".to_owned() + &"# vendor\n".repeat(20_000);
    world.file("vendor", &vendor_data);
    let arguments = format!("-q seed serve seeds --vendor-data vendor --log requests --until-phone-home {GUESTS}");
    let mut serving = Serving::start(&world, &arguments, &[]);
    let address: SocketAddr = serving.url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let next = AtomicUsize::new(0);
    let boot = |guest: usize| {
        let get = |file: &str| ask(address, &format!("GET /guest-{guest}/{file} HTTP/1.0\r\n\r\n"));
        assert!(get("network-config").ends_with("\r\n\r\n"));
        assert!(get("meta-data").contains(&format!("\"local-hostname\": \"guest-{guest}\"")));
        assert!(get("user-data").ends_with(&format!("# {guest}.\n")));
        assert!(get("vendor-data").ends_with(&vendor_data));
    };
    let call = |guest: usize| {
        let body = format!("instance_id=i-{guest}&hostname=guest-{guest}");
        let length = body.len();
        ask(address, &format!("POST /phone-home HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"));
    };
    let each = |what: &(dyn Fn(usize) + Sync)| {
        next.store(0, Ordering::SeqCst);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let guest = next.fetch_add(1, Ordering::SeqCst)
                        && guest < GUESTS
                    {
                        what(guest);
                    }
                });
            }
        });
    };
    each(&boot);
    let status = fs::read_to_string(format!("/proc/{}/status", serving.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak <= PEAK_KIB, "{peak} KiB");
    each(&call);
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    let log = fs::read_to_string(world.path("requests")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"status\":200")).count(), 5 * GUESTS);
    assert_eq!(log.lines().filter(|line| line.contains("\"phone_home\"")).count(), GUESTS);
    assert_eq!(log.lines().count(), 6 * GUESTS);
}
