//! A boot's timeline, drawn.

use std::fmt::Write;

use super::escaped;
use crate::stage::Stage;
use crate::verdict::{Boot, Outcome, Span};

/// Where things are, in the drawing's own units.
struct Layout {
    class: &'static str,
    width: f64,
    /// Where names are; without it, they are above their bars.
    gutter: f64,
    margin: f64,
    /// The most ticks on the axis.
    ticks: f64,
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
/// The width of a letter, about.
const LETTER: f64 = 6.6;
/// What took less is not drawn, in seconds.
const SHORTEST_S: f64 = 0.05;
/// The most rows of a kind.
const MAX_ROWS: usize = 16;
/// The longest name in the gutter, in letters.
const MAX_NAME: usize = 36;

/// The drawing, as an element of HTML: for a wide and for a narrow screen, of which the style shows one.
pub(super) fn svg(boot: &Boot) -> String {
    let length_s = (boot.end_s - boot.at_s).max(1.0);
    let draw = |layout: &'static Layout| {
        let mut drawing = Drawing { layout, at_s: boot.at_s, length_s, y: 0.0, body: String::new() };
        drawing.stages(boot);
        drawing.spans("cloud-init's modules that took longest", "module", &longest(boot, &boot.modules));
        drawing.spans("units of systemd that took longest", "unit", &longest(boot, &boot.units));
        drawing.spans("checks", "check", &checks(boot));
        drawing.finish(&boot.name)
    };
    format!("{}<div class=\"timeline\">{}{}</div>\n", legend(boot), draw(&WIDE), draw(&NARROW))
}

/// How long each stage took, in words: some are too short for a name in the drawing.
fn legend(boot: &Boot) -> String {
    let mut list = "<ol class=\"legend\">\n".to_owned();
    for (index, stage) in boot.stages.iter().enumerate().filter(|(_, stage)| stage.stage != Stage::Finished) {
        let end_s = boot.stages.get(index + 1).map_or(boot.end_s, |next| next.at.as_secs_f64());
        let (class, name) = (class_in(boot, stage.stage), stage.stage.name());
        let took_s = end_s - stage.at.as_secs_f64();
        let _ = writeln!(list, "<li><i class=\"{class}\"></i>{name} <small>{took_s:.1} s</small></li>");
    }
    list.push_str("</ol>\n");
    list
}

struct Drawing {
    layout: &'static Layout,
    at_s: f64,
    length_s: f64,
    /// Where the next row begins.
    y: f64,
    body: String,
}

impl Drawing {
    fn x(&self, at_s: f64) -> f64 {
        let Layout { width, gutter, margin, .. } = self.layout;
        gutter + ((at_s - self.at_s) / self.length_s).clamp(0.0, 1.0) * (width - gutter - margin)
    }

    fn stages(&mut self, boot: &Boot) {
        self.y += AXIS;
        if self.layout.gutter > 0.0 {
            self.label("stages", "heading", self.y + STAGE_BAR / 2.0 + 4.0);
        }
        for (index, stage) in boot.stages.iter().enumerate() {
            let begin_s = stage.at.as_secs_f64();
            let end_s = boot.stages.get(index + 1).map_or(boot.end_s, |next| next.at.as_secs_f64());
            let (x, width) = (self.x(begin_s), (self.x(end_s) - self.x(begin_s)).max(1.0));
            let class = class_in(boot, stage.stage);
            let name = if stage.stage == Stage::Finished { "checks" } else { short_name(stage.stage) };
            let y = self.y;
            let _ = writeln!(
                self.body,
                "<g><title>{}: {:.1} s, from {:.1} s on</title>\
                 <rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{STAGE_BAR}\"/>",
                if stage.stage == Stage::Finished { "after cloud-init's end" } else { stage.stage.name() },
                end_s - begin_s,
                begin_s - self.at_s
            );
            if width > name.len() as f64 * LETTER + 6.0 {
                let (x, y) = (x + width / 2.0, y + STAGE_BAR / 2.0 + 4.0);
                let _ = writeln!(self.body, "<text class=\"inside\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>");
            }
            self.body.push_str("</g>\n");
        }
        self.y += STAGE_BAR + 4.0;
    }

    fn spans(&mut self, heading: &str, class: &str, spans: &[Span]) {
        if spans.is_empty() {
            return;
        }
        self.y += HEADING;
        self.label(heading, "heading", self.y - 9.0);
        for span in spans {
            let (x, end) = (self.x(span.at_s), self.x(span.at_s + span.took_s));
            let width = (end - x).max(2.0);
            let class = if span.is_failed { "failed" } else { class };
            let text = format!("{:.1} s", span.took_s);
            let is_above = self.layout.gutter == 0.0;
            let name_y = self.y + ROW / 2.0 + 4.0;
            if is_above {
                self.y += ROW - 4.0;
            }
            let (y, text_y) = (self.y + (ROW - BAR) / 2.0, self.y + ROW / 2.0 + 4.0);
            // Beside the bar, where there is room.
            let is_room_behind = x + width + text.len() as f64 * LETTER + 4.0 < self.layout.width;
            let (name_class, name_x) = if is_above { ("above", 0.0) } else { ("name", self.layout.gutter - 10.0) };
            let (anchor, text_x) = if is_room_behind { ("behind", x + width + 5.0) } else { ("before", x - 5.0) };
            let _ = writeln!(
                self.body,
                "<g><title>{}: {:.2} s, from {:.1} s on</title>\
                 <text class=\"{name_class}\" x=\"{name_x:.1}\" y=\"{name_y:.1}\">{}</text>\
                 <rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\"/>\
                 <text class=\"{anchor}\" x=\"{text_x:.1}\" y=\"{text_y:.1}\">{text}</text></g>",
                plain(&span.name),
                span.took_s,
                span.at_s - self.at_s,
                escaped(&shortened(&span.name.replace('`', ""))),
            );
            self.y += ROW;
        }
    }

    fn label(&mut self, text: &str, class: &str, y: f64) {
        let _ = writeln!(self.body, "<text class=\"{class}\" x=\"0\" y=\"{y:.1}\">{}</text>", escaped(text));
    }

    fn finish(self, name: &str) -> String {
        let height = self.y + 8.0;
        let mut svg = format!(
            "<svg class=\"{}\" viewBox=\"0 0 {} {height:.0}\" role=\"img\" aria-label=\"timeline of the {}\">\n",
            self.layout.class,
            self.layout.width,
            plain(name)
        );
        let step_s = step(self.length_s, self.layout.ticks);
        let mut tick_s = 0.0;
        while tick_s <= self.length_s {
            let x = self.x(self.at_s + tick_s);
            let _ = writeln!(
                svg,
                "<line class=\"tick\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{height:.1}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"12\">{tick_s} s</text>",
                AXIS - 5.0
            );
            tick_s += step_s;
        }
        svg.push_str(&self.body);
        svg.push_str("</svg>\n");
        svg
    }
}

/// The seconds between ticks, so that there are no more than `ticks`.
fn step(length_s: f64, ticks: f64) -> f64 {
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0];
    steps.into_iter().find(|step| length_s / step <= ticks).unwrap_or(3600.0)
}

/// The spans that took longest, and those that failed, in their order.
fn longest(boot: &Boot, spans: &[Span]) -> Vec<Span> {
    // A stage of cloud-init is drawn above; its parts are what is looked for here.
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

/// A text where there is no markup.
fn plain(text: &str) -> String {
    escaped(&text.replace('`', ""))
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

fn short_name(stage: Stage) -> &'static str {
    stage.name().trim_start_matches("cloud-init: ")
}
