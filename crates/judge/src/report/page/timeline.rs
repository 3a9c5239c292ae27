//! A boot's timeline, drawn.

use crate::stage::Stage;
use crate::verdict::{Boot, Outcome, Span};

/// The drawing's geometry, in its own units.
pub(super) struct Layout {
    pub(super) class: &'static str,
    pub(super) width: f64,
    /// The width for names; if it is 0, they are above their bars.
    pub(super) gutter: f64,
    pub(super) margin: f64,
    /// The most ticks on the axis.
    pub(super) ticks: f64,
}

const WIDE: Layout = Layout { class: "wide", width: 1000.0, gutter: 250.0, margin: 50.0, ticks: 11.0 };
/// For a telephone.
const NARROW: Layout = Layout { class: "narrow", width: 300.0, gutter: 0.0, margin: 16.0, ticks: 5.0 };
/// Sizes, in the same units.
const ROW: f64 = 20.0;
const BAR: f64 = 14.0;
const STAGE_BAR: f64 = 26.0;
const AXIS: f64 = 22.0;
const HEADING: f64 = 28.0;
/// The approximate width of a letter.
const LETTER: f64 = 6.6;
/// The shortest time that is drawn, in seconds.
const SHORTEST_S: f64 = 0.05;
/// The most rows of a kind.
const MAX_ROWS: usize = 16;
/// The longest name in the gutter, in letters.
const MAX_NAME: usize = 36;

/// What `templates/timeline.html` draws: how long each stage took, in words because some stages are too short for a
/// name in the drawing; and the drawing for a wide and for a narrow screen. The style shows one of the two.
pub(super) struct Timeline {
    /// Of each stage its class, its name and the seconds that it took.
    pub(super) legend: Vec<(&'static str, &'static str, f64)>,
    pub(super) drawings: [Drawing; 2],
}

impl Timeline {
    pub(super) fn of(boot: &Boot) -> Self {
        let stages = stages(boot).filter(|(stage, ..)| *stage != Stage::Finished);
        let legend = stages.map(|(stage, begin_s, end_s)| (class_in(boot, stage), stage.name(), end_s - begin_s));
        Self { legend: legend.collect(), drawings: [Drawing::of(boot, &WIDE), Drawing::of(boot, &NARROW)] }
    }
}

/// A drawing in units of its layout, rounded to tenths.
pub(super) struct Drawing {
    pub(super) layout: &'static Layout,
    pub(super) at_s: f64,
    pub(super) length_s: f64,
    /// Where the next row begins; in the end, the drawing's height.
    pub(super) y: f64,
    pub(super) ticks: Vec<Text>,
    pub(super) headings: Vec<Text>,
    pub(super) bars: Vec<Bar>,
}

pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) title: String,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) texts: Vec<Text>,
}

pub(super) struct Text {
    pub(super) class: &'static str,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) text: String,
}

impl Text {
    fn new(class: &'static str, x: f64, y: f64, text: impl Into<String>) -> Self {
        Self { class, x: tenths(x), y: tenths(y), text: text.into() }
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl Drawing {
    fn of(boot: &Boot, layout: &'static Layout) -> Self {
        let length_s = (boot.end_s - boot.at_s).max(1.0);
        let (ticks, headings, bars) = Default::default();
        let mut drawing = Self { layout, at_s: boot.at_s, length_s, y: 0.0, ticks, headings, bars };
        drawing.stages(boot);
        drawing.spans("cloud-init's modules that took longest", "module", &longest(boot, &boot.modules));
        drawing.spans("units of systemd that took longest", "unit", &longest(boot, &boot.units));
        drawing.spans("checks", "check", &checks(boot));
        drawing.y += 8.0;
        let step_s = step(length_s, layout.ticks);
        let mut tick_s = 0.0;
        while tick_s <= length_s {
            let x = drawing.x(boot.at_s + tick_s);
            drawing.ticks.push(Text::new("tick", x, 12.0, format!("{tick_s} s")));
            tick_s += step_s;
        }
        drawing
    }

    fn x(&self, at_s: f64) -> f64 {
        let Layout { width, gutter, margin, .. } = self.layout;
        gutter + ((at_s - self.at_s) / self.length_s).clamp(0.0, 1.0) * (width - gutter - margin)
    }

    fn stages(&mut self, boot: &Boot) {
        self.y += AXIS;
        let text_y = self.y + STAGE_BAR / 2.0 + 4.0;
        if self.layout.gutter > 0.0 {
            self.headings.push(Text::new("heading", 0.0, text_y, "stages"));
        }
        for (stage, begin_s, end_s) in stages(boot) {
            let (name, short) = match stage {
                Stage::Finished => ("after cloud-init's end", "checks"),
                _ => (stage.name(), stage.name().trim_start_matches("cloud-init: ")),
            };
            let (x, width) = (self.x(begin_s), (self.x(end_s) - self.x(begin_s)).max(1.0));
            let is_room = width > short.len() as f64 * LETTER + 6.0;
            let text = is_room.then(|| Text::new("inside", x + width / 2.0, text_y, short));
            let texts = text.into_iter().collect();
            self.bar(class_in(boot, stage), name, (begin_s, end_s - begin_s), STAGE_BAR, width, texts);
        }
        self.y += STAGE_BAR + 4.0;
    }

    fn spans(&mut self, heading: &str, class: &'static str, spans: &[Span]) {
        if spans.is_empty() {
            return;
        }
        self.y += HEADING;
        self.headings.push(Text::new("heading", 0.0, self.y - 9.0, heading));
        for span in spans {
            let (x, end) = (self.x(span.at_s), self.x(span.at_s + span.took_s));
            let width = (end - x).max(2.0);
            let class = if span.is_failed { "failed" } else { class };
            let name = span.name.replace('`', "");
            let name_y = self.y + ROW / 2.0 + 4.0;
            let (name_class, name_x) = match self.layout.gutter {
                0.0 => ("above", 0.0),
                gutter => ("name", gutter - 10.0),
            };
            if name_class == "above" {
                self.y += ROW - 4.0;
            }
            let (text, text_y) = (format!("{:.1} s", span.took_s), self.y + ROW / 2.0 + 4.0);
            // After the bar, if there is room.
            let is_room = x + width + text.len() as f64 * LETTER + 4.0 < self.layout.width;
            let (text_class, text_x) = if is_room { ("behind", x + width + 5.0) } else { ("before", x - 5.0) };
            let texts = vec![
                Text::new(name_class, name_x, name_y, shortened(&name)),
                Text::new(text_class, text_x, text_y, text),
            ];
            self.y += (ROW - BAR) / 2.0;
            self.bar(class, &name, (span.at_s, span.took_s), BAR, width, texts);
            self.y += ROW - (ROW - BAR) / 2.0;
        }
    }

    fn bar(&mut self, class: &'static str, name: &str, time: (f64, f64), height: f64, width: f64, texts: Vec<Text>) {
        let (at_s, took_s) = time;
        let title = format!("{name}: {took_s:.2} s, from {:.1} s on", at_s - self.at_s);
        let (x, y, width) = (tenths(self.x(at_s)), tenths(self.y), tenths(width));
        self.bars.push(Bar { class, title, x, y, width, height, texts });
    }
}

/// The stages that were seen, each with the seconds at which it began and ended.
fn stages(boot: &Boot) -> impl Iterator<Item = (Stage, f64, f64)> {
    let ends = boot.stages.iter().skip(1).map(|next| next.at.as_secs_f64()).chain([boot.end_s]);
    boot.stages.iter().zip(ends).map(|(stage, end_s)| (stage.stage, stage.at.as_secs_f64(), end_s))
}

/// The seconds between ticks, so that there are no more than `ticks`.
fn step(length_s: f64, ticks: f64) -> f64 {
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0];
    steps.into_iter().find(|step| length_s / step <= ticks).unwrap_or(3600.0)
}

/// The spans that took longest, and those that failed, in their order.
fn longest(boot: &Boot, spans: &[Span]) -> Vec<Span> {
    // The stages of cloud-init are drawn above; these are their parts.
    let stages = ["init-local", "init-network", "modules-config", "modules-final"];
    let mut spans: Vec<Span> = spans
        .iter()
        .filter(|span| !stages.contains(&span.name.as_str()) && span.at_s + span.took_s <= boot.end_s + 1.0)
        .filter(|span| span.is_failed || span.took_s >= SHORTEST_S)
        .cloned()
        .collect();
    spans.sort_by(|one, other| {
        (other.is_failed, other.took_s).partial_cmp(&(one.is_failed, one.took_s)).unwrap_or(std::cmp::Ordering::Equal)
    });
    spans.truncate(MAX_ROWS);
    spans.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
    spans
}

fn checks(boot: &Boot) -> Vec<Span> {
    let span = |check: &crate::verdict::Check| Span {
        name: check.name.clone(),
        at_s: check.at.as_secs_f64(),
        took_s: check.took.as_secs_f64(),
        is_failed: matches!(check.outcome, Outcome::Wrong { .. }),
    };
    boot.checks.iter().take(3 * MAX_ROWS).map(span).collect()
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(MAX_NAME - 1).collect();
    short.push('…');
    short
}

fn class_in(boot: &Boot, stage: Stage) -> &'static str {
    let is_failed = boot.failure.as_ref().is_some_and(|failure| failure.stage == stage);
    if is_failed { "failed" } else { class_of(stage) }
}

fn class_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Firmware | Stage::BootLoader => "loader",
        Stage::Kernel | Stage::Initramfs => "kernel",
        Stage::Systemd | Stage::DsIdentify => "systemd",
        Stage::Local | Stage::Config => "cloud-init",
        Stage::Network | Stage::Final => "cloud-init other",
        Stage::Finished => "after",
    }
}
