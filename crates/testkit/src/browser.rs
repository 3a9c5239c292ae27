//! Chromium as a judge of pages, and axe-core in it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::judge::judge;

/// The arguments that have Chromium draw a page dark.
pub const DARK: [&str; 2] = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"];

/// Chromium's windows are no narrower than that: a narrower page is a frame in one.
const LEAST_WINDOW: u32 = 500;
/// Where Chromium itself looks for its updates and for who is logged in, whatever page there is.
const ITS_OWN: [&str; 3] = ["clients2.google.com", "update.googleapis.com", "accounts.google.com"];

/// A page that Chromium looks at, in a folder of its own.
#[derive(Debug)]
pub struct Browser {
    folder: TempDir,
    width: u32,
}

/// What became of a page in it.
#[derive(Debug)]
pub struct Look {
    /// The page in the end, as HTML.
    pub dom: String,
    /// What the page's console was told, such as errors and what the policy refused.
    pub console: Vec<String>,
    /// Every address that was asked for but the page's own.
    pub requests: Vec<String>,
}

impl Browser {
    /// A window that is `width` wide.
    pub fn new(width: u32) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), width }
    }

    /// Loads `page` and lets its scripts run.
    pub fn look(&self, page: &str, arguments: &[&str]) -> Look {
        let log = self.folder.path().join("net-log.json");
        let with_log = format!("--log-net-log={}", log.display());
        let more = ["--dump-dom", "--virtual-time-budget=20000", "--enable-logging=stderr", &with_log];
        let (dom, said) = self.run(page, &[arguments, &more].concat());
        let log = fs::read_to_string(log).unwrap();
        let addresses = log.split("\"url\":\"").skip(1).filter_map(|rest| rest.split('"').next());
        let own = format!("file://{}", self.page().display());
        let is_its_own = |address: &str| ITS_OWN.iter().any(|host| address.split('/').nth(2) == Some(host));
        let is_other = |address: &&str| **address != own && !is_its_own(address);
        let console = said.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
        Look { dom, console, requests: addresses.filter(is_other).map(str::to_owned).collect() }
    }

    /// Loads `page` with a script of the test's own in it, which its policy allows, and returns the text that this
    /// script gives the function `tell`.
    pub fn probe(&self, page: &str, script: &str, arguments: &[&str]) -> String {
        let tell = "const tell = text => { if (parent === window) document.title = text;
            else parent.postMessage(text, '*'); };";
        let mut page = allowing(page, &format!("{tell}{script}"));
        if self.width < LEAST_WINDOW {
            fs::write(self.folder.path().join("frame.html"), page).unwrap();
            page = format!(
                "<!DOCTYPE html><title></title><script>addEventListener('message', event => {{
                document.title = event.data; }});</script><iframe src=\"frame.html\" style=\"border: 0\"
                width=\"{}\" height=\"1600\"></iframe>",
                self.width
            );
        }
        let look = self.look(&page, arguments);
        let title = look.dom.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
        title.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }

    /// What axe-core finds wrong with `page`: for each, its rule and the elements.
    pub fn axe(&self, page: &str, arguments: &[&str]) -> String {
        let axe = std::env::var_os("IMGRAFT_TEST_AXE").map(PathBuf::from);
        let axe = axe.unwrap_or_else(|| panic!("IMGRAFT_TEST_AXE is not set to what scripts/axe-core prints"));
        let run = "addEventListener('load', () => axe.run(document).then(found => {
            const element = node => node.html + ' ' + node.any.concat(node.all, node.none).map(one => one.message);
            tell(JSON.stringify({passes: found.passes.length, violations: found.violations.map(one =>
                [one.id, one.nodes.map(element)])}));
        }, error => tell(String(error))));";
        self.probe(page, &format!("{};{run}", fs::read_to_string(axe).unwrap()), arguments)
    }

    /// A picture of `page`, as PNG. It is kept as `name` in the folder IMGRAFT_TEST_PICTURES, for who wants to look at it.
    pub fn picture(&self, name: &str, page: &str, height: u32, arguments: &[&str]) -> Vec<u8> {
        let picture = self.folder.path().join("picture.png");
        let screenshot = format!("--screenshot={}", picture.display());
        let size = format!("--window-size={},{height}", self.width);
        self.run(page, &[arguments, &[&screenshot, &size]].concat());
        if let Some(folder) = std::env::var_os("IMGRAFT_TEST_PICTURES") {
            fs::copy(&picture, PathBuf::from(folder).join(format!("{name}.png"))).unwrap();
        }
        fs::read(picture).unwrap()
    }

    fn page(&self) -> PathBuf {
        self.folder.path().join("page.html")
    }

    fn run(&self, page: &str, arguments: &[&str]) -> (String, String) {
        fs::write(self.page(), page).unwrap();
        let data = format!("--user-data-dir={}", self.folder.path().join("chromium").display());
        let size = format!("--window-size={},1600", self.width);
        let address = format!("file://{}", self.page().display());
        let verdict = judge("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-default-apps",
                "--disable-sync",
                "--hide-scrollbars",
                // Nothing is reached, whatever is asked for.
                "--host-resolver-rules=MAP * ~NOTFOUND",
                &data,
                &size,
            ])
            .args(arguments)
            .arg(address)
            .succeed();
        (verdict.stdout, verdict.stderr)
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// `page` with `script` in it, and a policy that allows this one as well.
fn allowing(page: &str, script: &str) -> String {
    let page = match page.contains("script-src ") {
        true => page.replacen("script-src ", "script-src 'nonce-probe' ", 1),
        false => page.replacen("default-src &#39;none&#39;", "default-src 'none'; script-src 'nonce-probe'", 1),
    };
    assert!(page.contains("'nonce-probe'"), "the page has no policy");
    page.replacen("</head>", &format!("<script nonce=\"probe\">{script}</script></head>"), 1)
}
