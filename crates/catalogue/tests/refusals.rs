//! What is not asked for, not waited for, and not believed.

use std::time::Duration;

use crate::support::{Diary, PATH, World, noise, options, sha256};
use catalogue::transport::{Error, Options, Retry, Roots};
use catalogue::{Client, Download, Transport};
use testkit::site::{Fault, Site};

const LIST: &str = "/noble/SHA256SUMS";

/// What asking for [`LIST`] comes to, without the site's address.
fn small(site: &Site, options: Options) -> Result<String, String> {
    let url = site.url(LIST);
    match Client::new(options).small(&url, 1000) {
        Ok(bytes) => Ok(String::from_utf8(bytes).unwrap()),
        Err(error) => Err(error.to_string().replace(&url, "URL")),
    }
}

fn status(code: u16, retry_after: Option<&str>) -> Fault {
    Fault::Status { code, retry_after: retry_after.map(str::to_owned) }
}

fn redirect(location: &str) -> Fault {
    Fault::Redirect { location: location.to_owned() }
}

#[test]
fn documents_come_whole_and_no_larger_than_they_may_be() {
    let site = Site::https();
    site.put(LIST, "x".repeat(1000));
    assert_eq!(small(&site, options(&site)), Ok("x".repeat(1000)));
    let too_large = Err("`URL` is larger than the limit of 1000 bytes".to_owned());
    site.put(LIST, "x".repeat(1001));
    assert_eq!(small(&site, options(&site)), too_large);
    site.once(LIST, Fault::Chunked);
    assert_eq!(small(&site, options(&site)), too_large);
    assert_eq!(site.requests().len(), 3);

    // Half of one is none.
    site.put(LIST, "0123456789").once(LIST, Fault::Cut { after_bytes: 5 });
    assert_eq!(small(&site, options(&site)), Ok("0123456789".to_owned()));
    site.always(LIST, Fault::Cut { after_bytes: 5 });
    assert_eq!(small(&site, options(&site)), Err("`URL`: the connection ended too early".to_owned()));
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_is_told_at_once() {
    for (code, tries, meaning) in [
        (408, 6, ""),
        (429, 6, " (too many requests)"),
        (500, 6, " (the server has a problem)"),
        (502, 6, " (the server has a problem)"),
        (503, 6, " (the server has a problem)"),
        (504, 6, " (the server has a problem)"),
        (400, 1, ""),
        (401, 1, " (access denied)"),
        (403, 1, " (access denied)"),
        (404, 1, " (no such file)"),
        (410, 1, " (no such file)"),
        (501, 1, " (the server has a problem)"),
        // None of these is a file.
        (201, 1, ""),
        (204, 1, ""),
        (206, 1, ""),
        (304, 1, ""),
        (300, 1, ""),
    ] {
        let site = Site::https();
        site.put(LIST, "x").always(LIST, status(code, None));
        assert_eq!(small(&site, options(&site)), Err(format!("`URL`: the server answers {code}{meaning}")));
        assert_eq!(site.requests().len(), tries, "{code}");

        let site = Site::https();
        site.put(LIST, "x").once(LIST, status(code, None));
        assert_eq!(small(&site, options(&site)).is_ok(), tries > 1, "{code}");
    }
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let bytes = noise(1000, 1);
    let pauses = |retry_after: &str| {
        let world = World::with(&bytes);
        world.site.once(PATH, status(503, Some(retry_after)));
        let mut options = world.options();
        options.retry.longest_pause = Duration::from_secs(30);
        let progress = Pauses::default();
        let result = Client::new(options).fetch(&world.download(&bytes), &world.cache, &progress);
        (result.map(drop).map_err(|error| error.to_string()), progress.0.into_inner().unwrap())
    };
    assert_eq!(pauses("1"), (Ok(()), vec![Duration::from_secs(1)]));
    // Counted from what the server's own clock says, not from ours.
    let (result, waited) = pauses("31");
    let error = result.unwrap_err();
    assert!(error.ends_with("answers 503 (the server has a problem), and asks to wait for 31 s"), "{error}");
    assert_eq!(waited.len(), 0);
    assert_eq!(pauses("nonsense").0, Ok(()));
}

#[derive(Default)]
struct Pauses(std::sync::Mutex<Vec<Duration>>);

impl catalogue::Progress for Pauses {
    fn event(&self, event: catalogue::transport::Event<'_>) {
        if let catalogue::transport::Event::Retrying { after, .. } = event {
            self.0.lock().unwrap().push(after);
        }
    }
}

#[test]
fn redirects_are_followed_so_far_and_never_away_from_tls() {
    let site = Site::https();
    site.put("/there/x", "found").put("/noble/x", "found");
    for location in ["/there/x", "../there/x", "x", "./x", &site.url("/there/x")] {
        site.once(LIST, redirect(location));
        assert_eq!(small(&site, options(&site)), Ok("found".to_owned()), "{location}");
    }
    for hop in 0..10 {
        site.always(&format!("/hop/{hop}"), redirect(&format!("/hop/{}", hop + 1)));
    }
    site.put("/hop/10", "far").once(LIST, redirect("/hop/1"));
    assert_eq!(small(&site, options(&site)), Ok("far".to_owned()));
    site.once(LIST, redirect("/hop/0"));
    let url = site.url("/hop/10");
    assert_eq!(small(&site, options(&site)), Err(format!("`{url}`: there are more than 10 redirects")));
    site.always(LIST, redirect(LIST));
    assert_eq!(small(&site, options(&site)), Err("`URL`: there are more than 10 redirects".to_owned()));

    let plain = Site::http();
    plain.put(LIST, "found");
    site.heal(LIST).always(LIST, redirect(&plain.url(LIST)));
    let refusal = "has no TLS, but an `https` address redirects there";
    for allow_http in [false, true] {
        let options = Options { allow_http, ..options(&site) };
        assert_eq!(small(&site, options), Err(format!("`{}` {refusal}", plain.url(LIST))));
    }
    assert_eq!(plain.requests().len(), 0);
    for (location, problem) in [
        ("ftp://127.0.0.1/x", "it is a redirect to `ftp://127.0.0.1/x`, which is not a supported address"),
        ("file:///etc/passwd", "it is a redirect to `file:///etc/passwd`, which is not a supported address"),
    ] {
        site.heal(LIST).always(LIST, redirect(location));
        assert_eq!(small(&site, options(&site)), Err(format!("`URL`: {problem}")));
    }
    site.heal(LIST).always(LIST, status(302, None));
    assert_eq!(small(&site, options(&site)), Err("`URL`: it is a redirect without an address".to_owned()));
}

#[test]
fn a_file_is_resumed_through_a_redirect() {
    let bytes = noise(500_000, 2);
    let world = World::new();
    world.site.put("/mirror/noble.img", bytes.clone()).always(PATH, redirect("/mirror/noble.img"));
    world.site.once("/mirror/noble.img", Fault::Cut { after_bytes: 200_000 });
    world.fetch(&bytes).unwrap();
    world.assert_holds(&bytes);
    let requests = world.site.requests_of("/mirror/noble.img");
    assert_eq!((requests[1].header("range"), requests[1].sent_bytes), (Some("bytes=200000-"), 300_000));
}

#[test]
fn without_tls_documents_come_from_this_machine_and_files_from_anywhere() {
    let site = Site::http();
    site.put(LIST, "found");
    assert_eq!(small(&site, Options::default()), Ok("found".to_owned()));
    // A name that is nobody's (RFC 6761): what is refused is refused before anybody is asked.
    let url = "http://mirror.invalid/noble.img";
    let error = Client::new(options(&site)).small(url, 1000).unwrap_err();
    let refusal = "is refused: without TLS anybody could answer; use `https`";
    assert_eq!(error.to_string(), format!("`{url}` {refusal}"));
    let client = Client::new(Options { allow_http: true, ..options(&site) });
    assert!(matches!(client.small(url, 1000), Err(Error::Connection { .. })));

    let bytes = noise(1000, 3);
    let world = World::at(site);
    world.site.put(PATH, bytes.clone());
    world.fetch(&bytes).unwrap();
    world.assert_holds(&bytes);
    let download = Download { urls: vec![url.to_owned()], ..world.download(b"else") };
    let error = world.client().fetch(&download, &world.cache, &Diary::default());
    assert!(matches!(error, Err(Error::Connection { .. })), "{error:?}");
}

#[test]
fn certificates_are_believed_only_from_who_is_trusted() {
    let site = Site::https();
    site.put(LIST, "found");
    // The platform's authorities know nothing of the site's; with them besides it is as good.
    let error = small(&site, Options { roots: Roots::default(), ..options(&site) }).unwrap_err();
    assert_eq!(error, "`URL`: its certificate is not trusted (UnknownIssuer)");
    let roots = Roots { extra: vec![site.authority()], ..Roots::default() };
    assert_eq!(small(&site, Options { roots, ..options(&site) }), Ok("found".to_owned()));
    let error = small(&site, options(&Site::https())).unwrap_err();
    assert!(error.starts_with("`URL`: its certificate is not trusted"), "{error}");

    let expired = Site::expired();
    let error = small(&expired, options(&expired)).unwrap_err();
    assert!(error.starts_with("`URL`: its certificate is not trusted (Expired"), "{error}");
    // None of that is tried twice, and nothing is asked.
    assert_eq!((site.requests().len(), expired.requests().len()), (1, 0));

    let world = World::new();
    std::fs::write(world.path("empty.pem"), "").unwrap();
    for name in ["empty.pem", "missing.pem"] {
        let file = world.path(name);
        let roots = Roots { file: Some(file.clone()), ..Roots::default() };
        let error = small(&site, Options { roots, ..options(&site) }).unwrap_err();
        assert!(error.starts_with(&format!("`URL`: there is no certificate in `{}`", file.display())), "{error}");
    }
}

#[test]
fn whoever_says_nothing_is_not_waited_for() {
    let site = Site::https();
    site.put(LIST, "found");
    for (fault, error) in [
        (Fault::Stall { after_bytes: 3 }, "no data arrived for 0.3 s"),
        (Fault::SlowHeaders, "the answer was not complete within 1 s"),
        (Fault::HugeHeaders, "its headers have more than 65536 bytes"),
        (Fault::Garbage, "its answer breaks HTTP's rules"),
        (Fault::Hangup, "the connection ended too early"),
    ] {
        site.once(LIST, fault.clone());
        let retry = Retry { attempts: 1, ..options(&site).retry };
        let said = small(&site, Options { retry, ..impatient(&site) }).unwrap_err();
        assert!(said.starts_with(&format!("`URL`: {error}")), "{fault:?}: {said}");
    }
    // Not one that is always about to say something, either.
    site.put(LIST, "x".repeat(1000)).always(LIST, Fault::Trickle { after_bytes: 10 });
    let document_timeout = Duration::from_millis(300);
    let said = small(&site, Options { document_timeout, ..options(&site) });
    assert_eq!(said, Err("`URL`: the download took more than 0.3 s".to_owned()));

    let bytes = noise(500_000, 4);
    let world = World::with(&bytes);
    for fault in [Fault::Stall { after_bytes: 200_000 }, Fault::Hangup, Fault::Garbage, Fault::SlowHeaders] {
        world.site.once(PATH, fault);
    }
    let client = Client::new(impatient(&world.site));
    client.fetch(&world.download(&bytes), &world.cache, &Diary::default()).unwrap();
    world.assert_holds(&bytes);
    assert_eq!(world.site.requests()[1].header("range"), Some("bytes=200000-"));
}

/// Options that wait for nothing long.
fn impatient(site: &Site) -> Options {
    let (stall_timeout, answer_timeout) = (Duration::from_millis(300), Duration::from_secs(1));
    Options { stall_timeout, answer_timeout, ..options(site) }
}

#[test]
fn a_server_that_is_not_there_is_not_asked_for_long() {
    let world = World::new();
    let bytes = noise(10, 5);
    // The port of a service that nobody has any more.
    let url = "https://127.0.0.1:1/x".to_owned();
    let diary = Diary::default();
    let download = Download { urls: vec![url.clone(), world.site.url(PATH)], ..world.download(&bytes) };
    world.site.put(PATH, bytes.clone());
    world.client().fetch(&download, &world.cache, &diary).unwrap();
    let problem = format!("`{url}`: no connection could be made");
    assert_eq!(diary.lines()[..2], [format!("retrying: {problem}"), format!("next: {problem}")]);

    // A name that is nobody's (RFC 6761).
    let bytes = noise(10, 7);
    world.site.put(PATH, bytes.clone());
    let url = "https://mirror.invalid/x".to_owned();
    let diary = Diary::default();
    let download = Download { urls: vec![url.clone(), world.site.url(PATH)], ..world.download(&bytes) };
    world.client().fetch(&download, &world.cache, &diary).unwrap();
    let problem = format!("`{url}`: the host name is unknown");
    assert_eq!(diary.lines()[..2], [format!("retrying: {problem}"), format!("next: {problem}")]);
}

#[test]
fn offline_means_offline() {
    let bytes = noise(1000, 6);
    let world = World::with(&bytes);
    let client = Client::new(Options { offline: true, ..world.options() });
    let fetch = || client.fetch(&world.download(&bytes), &world.cache, &Diary::default());
    let digest = sha256(&bytes);
    let error = fetch().unwrap_err().to_string();
    assert_eq!(error, format!("`noble` ({digest}) is not in the cache, and imgraft is offline"));
    let url = world.site.url(LIST);
    let error = client.small(&url, 10).unwrap_err().to_string();
    assert_eq!(error, format!("`{url}` is not in the cache, and imgraft is offline"));
    assert_eq!((world.site.requests().len(), world.cache.folder().exists()), (0, false));

    world.fetch(&bytes).unwrap();
    assert_eq!(fetch().unwrap().digest(), &digest);
    let path = world.cache.path_of(&digest);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "not that").unwrap();
    let error = fetch().unwrap_err().to_string();
    assert_eq!(error, format!("`noble` ({digest}) is damaged in the cache, and imgraft is offline"));
    assert_eq!(world.site.requests().len(), 1);
}

#[test]
fn room_is_looked_for_before_anything_is_fetched() {
    let world = World::with(b"small");
    world.site.always(PATH, Fault::ContentLength((1_u64 << 60).to_string()));
    let download = Download { size_bytes: None, ..world.download(b"other") };
    let error = world.client().fetch(&download, &world.cache, &Diary::default()).unwrap_err();
    let text = error.to_string();
    let folder = world.cache.folder().display().to_string();
    let Error::Cache(catalogue::cache::Error::NoSpace { needed_bytes: Some(needed), available_bytes, .. }) = error
    else {
        panic!("{text}")
    };
    assert_eq!(needed, 1 << 60);
    assert_eq!(text, format!("`{folder}` needs {needed} bytes, but only {available_bytes} are free"));
    assert_eq!((world.site.requests().len(), world.names().len()), (1, 0));
}
