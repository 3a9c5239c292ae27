//! Whatever a client sends, it gets answers of HTTP or none, and nothing that is not served.

use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use seed::server::{Pair, Seeds, Service, Unwatched};
use seed::{InstanceId, Kind, MetaData, Part, Seed, multipart};
use storage::Memory;

/// Numbers that are the same in each run: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

const REQUESTS: [&[u8]; 6] = [
    b"GET /web-1/user-data HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /latest/meta-data/public-keys/0/openssh-key HTTP/1.1\r\nHost: x\r\nX-aws-ec2-metadata-token: 0000\r\n\r\n",
    b"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n",
    b"POST /phone-home HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\na=%41&b=c+d&e",
    b"GET http://x/up/../%2e%2e/secret?q HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /root/../secret%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab",
];

/// What mutations are made of: what means something somewhere.
const PIECES: [&[u8]; 16] = [
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b" ",
    b"/",
    b"..",
    b"%2e",
    b"%",
    b"\0",
    b"\xff",
    b":",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"99999999999999999999",
    b"HTTP/1.1",
    b"secret",
];

fn mutated(random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..=random.below(3)).flat_map(|_| REQUESTS[random.below(REQUESTS.len())].to_vec()).collect();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len().max(1)).min(bytes.len());
        let end = (at + random.below(8)).min(bytes.len());
        match random.below(4) {
            0 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            1 => drop(bytes.splice(at..end, PIECES[random.below(PIECES.len())].iter().copied())),
            2 => drop(bytes.drain(at..end)),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

#[test]
fn no_bytes_get_more_than_answers() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("seeds/web-1")).unwrap();
    fs::write(folder.path().join("secret"), "do not tell").unwrap();
    std::os::unix::fs::symlink("..", folder.path().join("seeds/up")).unwrap();
    std::os::unix::fs::symlink("/", folder.path().join("seeds/root")).unwrap();
    let user_data = Arc::new(Memory::from(b"#cloud-config\n".to_vec()));
    let seed = Seed::generate(user_data, None, None, MetaData::default(), InstanceId::FromContent).unwrap();
    let seeds = Seeds::new(seed, Some(MetaData::default())).unwrap().with_folder(&folder.path().join("seeds")).unwrap();
    let seeds = seeds.with_other_files();
    let service = Service::new(seeds, Arc::new(Unwatched), || 0, [7; 32]);
    let mut random = Random(0x5eed);
    let mut answered = 0;
    for _ in 0..20_000 {
        let bytes = mutated(&mut random);
        let mut output = Vec::new();
        let mut wire = Pair { input: Cursor::new(&bytes), output: &mut output };
        service.serve(&mut wire, "x");
        answered += usize::from(!output.is_empty());
        let text = String::from_utf8_lossy(&output);
        let shown = bytes.escape_ascii();
        assert!(output.is_empty() || text.starts_with("HTTP/1.1 "), "{shown}: {text}");
        assert!(!text.contains("do not tell") && !text.contains("500 Internal"), "{shown}: {text}");
    }
    assert!(answered > 10_000, "{answered}");
}

#[test]
fn no_bytes_of_user_data_break_a_message() {
    let mut random = Random(0x9a27);
    let beginnings: [&[u8]; 5] =
        [b"#cloud-config\n", b"#!", b"\x1f\x8b", b"## template: jinja\n", b"MIME-Version: 1.0\n"];
    for _ in 0..2000 {
        let parts: Vec<Part> = (0..=random.below(3))
            .filter_map(|_| {
                let mut content = beginnings[random.below(beginnings.len())].to_vec();
                content.extend((0..random.below(200)).map(|_| random.below(256) as u8));
                content.extend(PIECES[random.below(PIECES.len())]);
                Part::new("a\"\r\nb", content)
            })
            .collect();
        let message = multipart(&parts);
        assert_eq!(Kind::of(&message), Some(Kind::Message));
        let boundary = message.windows(9).position(|window| window == b"boundary=").unwrap();
        let boundary = &message[boundary + 10..boundary + 50];
        let lines = message
            .split(|&byte| byte == b'\n')
            .filter(|line| line.starts_with(b"--") && line[2..].starts_with(boundary));
        assert_eq!(lines.count(), parts.len() + 1);
    }
}
