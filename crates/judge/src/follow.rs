//! Following a boot by the text on its console.
//!
//! Everything that starts in a guest writes to the serial port, with escape sequences for colours in between. Some lines
//! of the first boot of a Debian image (`tests/consoles/good.txt`), and the stage that each begins:
//!
//! ```text
//! ESC[H ESC[J   Booting `Debian GNU/Linux'                                         boot loader (GRUB)
//! [    0.000000] Linux version 6.1.0-56-cloud-amd64 …                              kernel
//! Welcome to ESC[1mDebian GNU/Linux 12 (bookworm)ESC[0m!                           systemd
//! [   25.279101] cloud-init[336]: Cloud-init v. 22.4.2 running 'init-local' at …   cloud-init: local
//! [   36.437682] cloud-init[367]: Cloud-init v. 22.4.2 running 'init' at …         cloud-init: network
//! ```
//!
//! The console arrives in pieces that end anywhere. [`Follower::feed`] removes the escape sequences, cuts the rest into
//! lines and looks for three things in each line: the beginning of a stage, as above; a problem, such as `Kernel panic -
//! not syncing`; and whether the line is new. A line that differs from an earlier one only in its digits is not new,
//! and neither is a spinner such as `[  *** ] A start job is running`: so a hang is noticed although lines still arrive.
//! An unfinished line is looked at too, because prompts have no line end: `grub rescue>` means that the boot has failed.
//!
//! The texts are those of SeaBIOS, EDK II, GRUB, Linux, initramfs-tools, dracut, systemd and cloud-init.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::console::Lines;
use crate::stage::Stage;
use crate::transcript::{Line, Transcript};

/// The most shapes of lines that are remembered; after that, no line counts as progress.
const MAX_SHAPES: usize = 1 << 16;

/// A sign on the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A stage began.
    Entered(Stage),
    /// The boot cannot continue.
    Fatal(Trouble),
    /// Something went wrong, but the boot continues.
    Trouble(Trouble),
}

/// A problem on the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The stage that it belongs to.
    pub stage: Stage,
    /// What it means; empty if the line says it itself.
    pub meaning: String,
    /// The line.
    pub line: String,
    /// When, from the machine's start on.
    #[serde(rename = "at_s", serialize_with = "seconds", deserialize_with = "duration_of_seconds")]
    pub at: Duration,
}

/// Follows one boot: a state machine over the console's bytes.
#[derive(Clone, Debug)]
pub struct Follower {
    cutter: Lines,
    stage: Stage,
    /// The lines so far, or the first and the last ones.
    lines: Transcript,
    shapes: HashSet<u64>,
    /// How many lines were new.
    novelties: u64,
    is_dead: bool,
    /// When the login prompt appeared.
    login_at: Option<Duration>,
    unfinished_seen: String,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            cutter: Lines::default(),
            stage: Stage::Firmware,
            lines: Transcript::default(),
            shapes: HashSet::new(),
            novelties: 0,
            is_dead: false,
            login_at: None,
            unfinished_seen: String::new(),
        }
    }
}

impl Follower {
    /// The signs in `bytes`, which arrived at the time `at` after the machine's start.
    pub fn feed(&mut self, at: Duration, bytes: &[u8]) -> Vec<Sign> {
        let mut signs = Vec::new();
        for text in self.cutter.feed(bytes) {
            self.line(at, &text, &mut signs);
            self.lines.push(Line { at, text });
            self.unfinished_seen.clear();
        }
        let unfinished = self.cutter.unfinished();
        if unfinished != self.unfinished_seen {
            self.prompt(at, &unfinished, &mut signs);
            self.unfinished_seen = unfinished;
        }
        signs
    }

    /// The stage that the boot is in.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Another source than the console reports that `stage` has begun.
    pub fn enter(&mut self, stage: Stage) -> Option<Sign> {
        (stage > self.stage).then(|| {
            self.stage = stage;
            Sign::Entered(stage)
        })
    }

    /// The lines so far: the first and the last, if there are many.
    pub fn lines(&self) -> &Transcript {
        &self.lines
    }

    /// The line that has not ended.
    pub fn unfinished(&self) -> String {
        self.cutter.unfinished()
    }

    /// How many lines were new. A spinner is not.
    pub fn novelties(&self) -> u64 {
        self.novelties
    }

    /// When a login prompt appeared, if cloud-init has not begun.
    pub fn login_without_cloud_init(&self) -> Option<Duration> {
        self.login_at.filter(|_| self.stage < Stage::Local)
    }

    fn line(&mut self, at: Duration, text: &str, signs: &mut Vec<Sign>) {
        if self.shapes.len() < MAX_SHAPES && !is_spinner(text) && self.shapes.insert(shape(text)) {
            self.novelties += 1;
        }
        if let Some(stage) = stage_begun_by(text, self.stage) {
            signs.extend(self.enter(stage));
        }
        self.prompt(at, text, signs);
        if self.is_dead {
            return;
        }
        if let Some((stage, meaning)) = fatal(text, self.stage) {
            self.die(at, stage, meaning, text, signs);
        } else if is_trouble(text) {
            signs.push(Sign::Trouble(self.trouble(at, self.stage, "", text)));
        }
    }

    /// The prompts, which have no line end.
    fn prompt(&mut self, at: Duration, text: &str, signs: &mut Vec<Sign>) {
        if self.login_at.is_none() && is_login(text) {
            self.login_at = Some(at);
        }
        if !self.is_dead
            && let Some((stage, meaning)) = dead_end(text).filter(|(stage, _)| can_end_in(*stage, self.stage))
        {
            self.die(at, stage, meaning, text, signs);
        }
    }

    fn die(&mut self, at: Duration, stage: Stage, meaning: &str, line: &str, signs: &mut Vec<Sign>) {
        self.is_dead = true;
        signs.push(Sign::Fatal(self.trouble(at, stage, meaning, line)));
    }

    fn trouble(&self, at: Duration, stage: Stage, meaning: &str, line: &str) -> Trouble {
        Trouble { stage, meaning: meaning.to_owned(), line: line.trim().to_owned(), at }
    }
}

/// The stage that begins with this line, if `current` is one before it.
fn stage_begun_by(text: &str, current: Stage) -> Option<Stage> {
    const BEGINNINGS: [(&str, Stage); 26] = [
        ("BdsDxe: starting", Stage::BootLoader),
        ("GRUB loading", Stage::BootLoader),
        ("Welcome to GRUB", Stage::BootLoader),
        ("GNU GRUB", Stage::BootLoader),
        ("Booting `", Stage::BootLoader),
        ("Booting from Hard Disk", Stage::BootLoader),
        ("Loading Linux", Stage::BootLoader),
        ("Loading initial ramdisk", Stage::BootLoader),
        ("EFI stub: ", Stage::Kernel),
        ("Linux version ", Stage::Kernel),
        ("Loading, please wait...", Stage::Initramfs),
        ("Begin: ", Stage::Initramfs),
        ("running in system mode", Stage::Systemd),
        ("running in initrd", Stage::Initramfs),
        ("Welcome to ", Stage::Systemd),
        ("Starting cloud-init-local", Stage::Local),
        ("running 'init-local'", Stage::Local),
        ("Starting cloud-init.ser", Stage::Network),
        ("Starting cloud-init-network", Stage::Network),
        ("running 'init'", Stage::Network),
        ("Starting cloud-config.ser", Stage::Config),
        ("running 'modules:config'", Stage::Config),
        ("Starting cloud-final.ser", Stage::Final),
        ("running 'modules:final'", Stage::Final),
        ("Run /init as init process", Stage::Initramfs),
        ("Run /sbin/init as init process", Stage::Systemd),
    ];
    if text.contains("Cloud-init v.") && text.contains(" finished at ") {
        return Some(Stage::Finished);
    }
    // A boot loader prints `Welcome to` too, and a system only after the kernel has started.
    let is_begun = |(beginning, stage): &(&str, Stage)| {
        *stage > current
            && text.contains(beginning)
            && (*beginning != "Welcome to " || (current >= Stage::Kernel && text.ends_with('!')))
            && (!beginning.starts_with("running '") || text.contains("Cloud-init v."))
    };
    BEGINNINGS.iter().filter(|beginning| is_begun(beginning)).map(|(_, stage)| *stage).max()
}

/// Whether a boot in stage `current` can be at a prompt of `stage`: in a later stage it is an ordinary text.
fn can_end_in(stage: Stage, current: Stage) -> bool {
    match stage {
        Stage::Firmware | Stage::BootLoader => current <= Stage::BootLoader,
        Stage::Initramfs => current <= Stage::Systemd,
        _ => true,
    }
}

/// The meaning of a prompt that nobody answers.
fn dead_end(text: &str) -> Option<(Stage, &'static str)> {
    let text = text.trim();
    if text.starts_with("grub rescue>") {
        return Some((Stage::BootLoader, "GRUB did not find its own modules"));
    }
    if text.ends_with("grub>") {
        return Some((Stage::BootLoader, "GRUB found no configuration that names a kernel"));
    }
    if text.starts_with(">>Start PXE over IPv") || text.starts_with(">>Start HTTP Boot over IPv") {
        return Some((Stage::Firmware, "the firmware found no boot loader on the disk and tries the network"));
    }
    if text.ends_with("Shell>") {
        return Some((Stage::Firmware, "the firmware found no boot loader and started its own shell"));
    }
    if text.starts_with("(initramfs)") {
        return Some((Stage::Initramfs, "the initramfs did not find the root and started its own shell"));
    }
    let waits = ["Press Enter for maintenance", "Give root password for maintenance"];
    waits.iter().any(|wait| text.starts_with(wait)).then_some((Stage::Systemd, "systemd is in emergency mode"))
}

/// The stage that fails with this line, and what the line means.
fn fatal(text: &str, current: Stage) -> Option<(Stage, &'static str)> {
    let has = |part: &str| text.contains(part);
    if current <= Stage::BootLoader {
        let no_loader =
            ["No bootable device", "BdsDxe: No bootable option or device was found", "UEFI Interactive Shell v"];
        if no_loader.iter().any(|part| has(part)) {
            return Some((Stage::Firmware, "the firmware found no boot loader on the disk"));
        }
        if has("BdsDxe: failed to start Boot") || has("Access Denied") && has("BdsDxe") {
            return Some((Stage::Firmware, "the firmware refused the boot loader"));
        }
        if let Some(meaning) = missing_file(text) {
            return Some((Stage::BootLoader, meaning));
        }
        if has("error: no such device") || has("error: no such partition") || has("error: unknown filesystem") {
            return Some((Stage::BootLoader, "the boot loader did not find the partition that it looked for"));
        }
        if has("error: bad shim signature") || has("error: invalid magic number") {
            return Some((Stage::BootLoader, "the boot loader refused the kernel"));
        }
    }
    if has("Kernel panic - not syncing") {
        let stage = if current <= Stage::Kernel { Stage::Kernel } else { current };
        let meaning = match () {
            () if has("Unable to mount root fs") => "the kernel did not find the root",
            () if has("No working init found") || has("Requested init") => "the kernel found no init to start",
            () if has("Attempted to kill init") => "the first process ended",
            () => "the kernel gave up",
        };
        return Some((stage, meaning));
    }
    if has("ALERT!") && has("does not exist") {
        return Some((Stage::Initramfs, "the initramfs did not find the root"));
    }
    if has("No init found. Try passing init=") || text.starts_with("run-init: ") {
        return Some((Stage::Initramfs, "the initramfs found no init to start in the root"));
    }
    if has("dracut-initqueue") && has("timeout") || has("Entering emergency mode. Exit the shell to continue") {
        return Some((Stage::Initramfs, "the initramfs is in emergency mode"));
    }
    let emergency = ["You are in emergency mode", "Reached target emergency.target", "Cannot open access to console"];
    if emergency.iter().any(|part| has(part)) {
        return Some((Stage::Systemd, "systemd is in emergency mode"));
    }
    None
}

/// What GRUB's `error: file '/vmlinuz' not found` means, of a kernel or an initramfs.
fn missing_file(text: &str) -> Option<&'static str> {
    let no_kernel = Some("the boot loader did not find the kernel");
    if text.contains("you need to load the kernel first") {
        return no_kernel;
    }
    let (_, rest) = text.split_once("error: file ").filter(|(_, rest)| rest.contains("not found"))?;
    let name = rest.rsplit('/').next().unwrap_or(rest).to_ascii_lowercase();
    if name.starts_with("initr") || name.starts_with("initramfs") {
        return Some("the boot loader did not find the initramfs");
    }
    no_kernel.filter(|_| ["linu", "kernel", "bzimage"].iter().any(|part| name.contains(part)))
}

/// Whether the line reports a problem with which the boot continues.
fn is_trouble(text: &str) -> bool {
    // systemd's own `[FAILED]` and `[DEPEND]`.
    if text.starts_with("[FAILED] ") || text.starts_with("[DEPEND] ") || text.contains("EXT4-fs error") {
        return true;
    }
    if text.contains("[WARNING]: ") || text.contains("[ERROR]: ") || text.contains("[CRITICAL]: ") {
        return true;
    }
    text.contains("cloud-init[")
        && ["Traceback (most recent call last)", "failed run of", "Failed to", "Failed running", "Failed loading"]
            .iter()
            .any(|part| text.contains(part))
        || text.contains("error: ") && (text.starts_with("error: ") || text.contains("GRUB"))
}

/// Whether the line repeats what systemd is waiting for.
fn is_spinner(text: &str) -> bool {
    text.contains(" job is running for ") || text.contains(" jobs are running for ")
}

fn is_login(text: &str) -> bool {
    text.split_once(" login:").is_some_and(|(name, _)| {
        !name.is_empty()
            && name.len() < 65
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    })
}

/// The line without its numbers: a time, a count and a process may differ.
fn shape(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for byte in text.bytes().filter(|byte| !byte.is_ascii_digit() && !byte.is_ascii_whitespace()) {
        byte.hash(&mut hasher);
    }
    hasher.finish()
}

pub(crate) fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// The longest time that is read of a report, in seconds: nobody waits for a boot that long, and a timeline of it has
/// few ticks.
const LONGEST_S: f64 = 1e7;

/// Seconds from 0 on, and not too many.
pub(crate) fn few_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    match (0.0..=LONGEST_S).contains(&seconds) {
        true => Ok(seconds),
        false => Err(serde::de::Error::custom(format_args!("{seconds} s are not a time within a boot"))),
    }
}

/// The same as a duration.
pub(crate) fn duration_of_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    few_seconds(deserializer).map(Duration::from_secs_f64)
}
