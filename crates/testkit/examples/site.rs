//! `site FOLDER`: serves a folder over HTTPS on loopback until its standard input ends. It prints the address and the
//! file with the authority's certificate.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it is a program")]

use std::io::Read;

use testkit::site::Site;

fn main() {
    let Some(folder) = std::env::args_os().nth(1) else {
        panic!("usage: site FOLDER");
    };
    let site = Site::https();
    site.put_folder("/", folder);
    println!("{} {}", site.url(""), site.authority().display());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
