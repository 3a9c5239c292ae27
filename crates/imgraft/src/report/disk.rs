//! A disk drawn to scale: its partitions, what is in use in them, and where bytes changed.

use graft::{Comparison, Extent, PartitionChange};

use crate::show::account::size;

/// The drawing's geometry, in its own units.
struct Layout {
    class: &'static str,
    width: f64,
    /// The most ticks on the axis.
    ticks: u64,
}

const WIDE: Layout = Layout { class: "wide", width: 1000.0, ticks: 8 };
/// For a telephone.
const NARROW: Layout = Layout { class: "narrow", width: 300.0, ticks: 3 };
/// Where its parts are, from top to bottom.
const BOX_Y: f64 = 20.0;
const BOX_HEIGHT: f64 = 72.0;
const STRIP_Y: f64 = 98.0;
const STRIP_HEIGHT: f64 = 18.0;
/// The least height of what changed, so that it can be seen.
const LEAST: f64 = 2.0;
/// The approximate width of a letter.
const LETTER: f64 = 6.8;

/// What `templates/disk.html` draws. The style shows it for a wide or for a narrow screen.
pub(super) struct Drawing {
    pub(super) class: &'static str,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) ticks: Vec<Tick>,
    pub(super) partitions: Vec<Part>,
    pub(super) strip: Rect,
    pub(super) changed: Vec<Rect>,
    /// Where the disk ended before it grew.
    pub(super) old_end: Option<f64>,
}

pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) anchor: &'static str,
    pub(super) text: String,
}

/// A partition: a box whose area is its size.
pub(super) struct Part {
    pub(super) title: String,
    pub(super) frame: Rect,
    /// What was and is in use.
    pub(super) kept: Option<Rect>,
    /// What is in use since.
    pub(super) gained: Option<Rect>,
    /// What was in use and is free now.
    pub(super) lost: Option<Rect>,
    pub(super) label: Option<Label>,
}

pub(super) struct Label {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) text: String,
}

#[derive(Clone, Copy)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    fn new(x: f64, y: f64, width: f64, height: f64) -> Self {
        Self { x: tenths(x), y: tenths(y), width: tenths(width), height: tenths(height) }
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// The disk for a wide and for a narrow screen.
pub(super) fn drawings(comparison: &Comparison) -> [Drawing; 2] {
    [&WIDE, &NARROW].map(|layout| Drawing::of(comparison, layout))
}

impl Drawing {
    fn of(comparison: &Comparison, layout: &Layout) -> Self {
        let disk_bytes = comparison.disk_bytes;
        let all_bytes = disk_bytes.from.max(disk_bytes.to).max(1);
        let x = |bytes: u64| bytes.min(all_bytes) as f64 / all_bytes as f64 * layout.width;
        let is_grown = disk_bytes.from < disk_bytes.to;
        Self {
            class: layout.class,
            width: layout.width,
            height: STRIP_Y + STRIP_HEIGHT,
            ticks: ticks(all_bytes, layout, x),
            partitions: comparison.partitions.iter().filter_map(|partition| part(partition, x)).collect(),
            strip: Rect::new(0.0, STRIP_Y, layout.width, STRIP_HEIGHT),
            changed: changed(comparison, layout, x),
            old_end: is_grown.then(|| tenths(x(disk_bytes.from))),
        }
    }
}

/// Ticks at round sizes, and at the disk's end.
fn ticks(all_bytes: u64, layout: &Layout, x: impl Fn(u64) -> f64) -> Vec<Tick> {
    let step = (0..63).map(|power| 1_u64 << power).find(|step| all_bytes / step <= layout.ticks).unwrap_or(u64::MAX);
    let tick = |bytes: u64, anchor, text: String| Tick { x: tenths(x(bytes)), anchor, text };
    let mut ticks = vec![tick(0, "start", "0".to_owned())];
    // No more than the layout's ticks. Names that would touch that of the disk's end are left out.
    let room = layout.width / (size(all_bytes).len() as f64 * LETTER * 2.0);
    let last = all_bytes - (all_bytes as f64 / room.max(1.0)) as u64;
    let between = (1..).map(|index: u64| index.saturating_mul(step)).take_while(|&bytes| bytes < last);
    ticks.extend(between.map(|bytes| tick(bytes, "middle", size(bytes).replace(".0 ", " "))));
    ticks.push(tick(all_bytes, "end", size(all_bytes)));
    ticks
}

fn part(partition: &PartitionChange, x: impl Fn(u64) -> f64) -> Option<Part> {
    // One in several parts of the disk has no box.
    let extent = partition.image.or(partition.base).filter(|extent| !extent.is_in_parts)?;
    let begin = x(extent.first_byte);
    let width = (x(extent.first_byte.saturating_add(extent.size_bytes)) - begin).max(1.0);
    let height = |bytes: u64| bytes.min(extent.size_bytes) as f64 / extent.size_bytes.max(1) as f64 * BOX_HEIGHT;
    let used = |extent: Option<Extent>| extent.and_then(|extent| extent.used_bytes);
    // A partition that is gone has lost all of it, a new one has gained all of it.
    let (before, after) = (used(partition.base).unwrap_or(0), used(partition.image).unwrap_or(0));
    let bottom = BOX_Y + BOX_HEIGHT;
    let band = |from: u64, to: u64| {
        (to > from).then(|| {
            let (low, high) = (height(from), height(to).max(height(from) + LEAST));
            Rect::new(begin, (bottom - high).max(BOX_Y), width, high - low)
        })
    };
    let number = partition.number.map(|number| number.to_string());
    let names =
        [partition.label.clone().or(partition.r#type.clone()), number.or_else(|| partition.logical_volume.clone())];
    let fits = |name: &String| name.chars().count() as f64 * LETTER + 8.0 < width;
    let label = names.into_iter().flatten().find(fits);
    Some(Part {
        title: title(partition, extent),
        frame: Rect::new(begin, BOX_Y, width, BOX_HEIGHT),
        kept: band(0, before.min(after)),
        gained: band(before, after),
        lost: band(after, before),
        label: label.map(|text| Label { x: tenths(begin + 5.0), y: BOX_Y + 15.0, text }),
    })
}

fn title(partition: &PartitionChange, extent: Extent) -> String {
    let mut title = format!("{}: {}", partition.name, size(extent.size_bytes));
    if let Some(used_bytes) = extent.used_bytes {
        title.push_str(&format!(", {} in use", size(used_bytes)));
    }
    title
}

/// The columns of the map in which bytes differ, those side by side of one height as one.
fn changed(comparison: &Comparison, layout: &Layout, x: impl Fn(u64) -> f64) -> Vec<Rect> {
    let map = &comparison.map;
    let mut rects: Vec<Rect> = Vec::new();
    // As many columns of the map make one of the drawing as keep that at least a unit wide.
    let joined = (map.changed_bytes.len() as f64 / layout.width).ceil().max(1.0) as usize;
    let column_bytes = map.column_bytes.saturating_mul(joined as u64);
    for (index, columns) in map.changed_bytes.chunks(joined).enumerate() {
        let changed_bytes: u64 = columns.iter().sum();
        if changed_bytes == 0 {
            continue;
        }
        let begin = (index as u64).saturating_mul(column_bytes);
        let (left, right) = (x(begin), x(begin.saturating_add(column_bytes)));
        let height = (changed_bytes as f64 / column_bytes as f64 * STRIP_HEIGHT).clamp(LEAST, STRIP_HEIGHT);
        let rect = Rect::new(left, STRIP_Y + STRIP_HEIGHT - height, (right - left).max(1.0), height);
        match rects.last_mut() {
            Some(last) if last.height == rect.height && (last.x + last.width - rect.x).abs() < 0.2 => {
                last.width = tenths(rect.x + rect.width - last.x);
            }
            _ => rects.push(rect),
        }
    }
    rects
}
