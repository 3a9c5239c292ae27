//! `fetch URL DIGEST CACHE [AUTHORITY.pem]`: fetches a file into a cache and prints where it is.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it is a program")]

use std::error::Error;
use std::path::PathBuf;

use catalogue::transport::{Options, Roots, Silent};
use catalogue::{Cache, Client, Download, Transport};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, digest, cache, authorities @ ..] = &arguments[..] else {
        return Err("usage: fetch URL DIGEST CACHE [AUTHORITY.pem]".into());
    };
    let roots = Roots { extra: authorities.iter().map(PathBuf::from).collect(), ..Roots::default() };
    let client = Client::new(Options { roots, ..Options::default() });
    let download = Download { name: url.clone(), urls: vec![url.clone()], digest: digest.parse()?, size_bytes: None };
    let entry = client.fetch(&download, &Cache::new(cache), &Silent)?;
    println!("{}", entry.path().display());
    Ok(())
}
