//! Elements shared by several [figures](super): centroids, clouds, numbered sequences, paths
//! through time, legends.

use super::Frame;
use super::axes::Axes;
use super::plot::{Canvas, Ink, Shape, Type, text_width};

/// The most points a cloud shows.
const CLOUD: usize = 4_000;
/// The radius of a numbered marker.
const RADIUS: f32 = 8.5;

/// Colour `i` of the palette, which repeats.
pub fn color(i: usize) -> Ink {
    Ink::PALETTE[i % Ink::PALETTE.len()]
}

/// A sequence of codes as the paper writes it: (6, 5, 4, 3, 2).
pub fn tuple(codes: &[u32]) -> String {
    let codes: Vec<String> = codes.iter().map(u32::to_string).collect();
    format!("({})", codes.join(", "))
}

/// The index of the centroid nearest to `x`.
pub fn nearest(centroids: &[[f32; 2]], [x, y]: [f32; 2]) -> u32 {
    let distance = |c: &[f32; 2]| (c[0] - x).powi(2) + (c[1] - y).powi(2);
    let nearest = centroids
        .iter()
        .enumerate()
        .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
    nearest.map_or(0, |(k, _)| k as u32)
}

/// The unit circle, and on it the centroids as rings, with `name` and index where none of the
/// points `avoid` is near.
pub fn draw_centroids(
    canvas: &mut Canvas,
    axes: &Axes,
    centroids: &[[f32; 2]],
    name: &str,
    avoid: &[[f32; 2]],
) {
    let turn = (0..=180).map(|i| (f64::from(i) * std::f64::consts::TAU / 180.0).sin_cos());
    let circle: Vec<[f32; 2]> = turn.map(|(sin, cos)| axes.at(cos, sin)).collect();
    canvas.line(&circle, Ink::hex(0xBDBDBD), 1.1);
    let avoid: Vec<[f32; 2]> = avoid
        .iter()
        .filter(|p| finite(p))
        .map(|p| axes.point(*p))
        .collect();
    for (k, centroid) in centroids.iter().enumerate().filter(|(_, c)| finite(c)) {
        let at = axes.point(*centroid);
        canvas.marker(
            at,
            Shape::Disc,
            11.5,
            Ink::WHITE.fade(0.0),
            Some((Ink::BLACK, 1.2)),
        );
        let label = label_place(at, axes.at(0.0, 0.0), &avoid);
        canvas.text(
            label,
            &format!("{name}_{k}"),
            Type {
                halo: true,
                math: true,
                ..Type::default()
            },
        );
    }
}

/// Points along the polyline through `points`.
pub fn along(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let between = |[a, b]: [[f32; 2]; 2], s: f32| std::array::from_fn(|i| a[i] + s * (b[i] - a[i]));
    let ways = points.windows(2).map(|ends| [ends[0], ends[1]]);
    ways.flat_map(|ends| (0..=20).map(move |step| between(ends, step as f32 / 20.0)))
        .collect()
}

/// A free place beside `at`: in the direction away from `middle` if that is free, else as close to
/// that direction as possible.
fn label_place(at: [f32; 2], middle: [f32; 2], avoid: &[[f32; 2]]) -> [f32; 2] {
    const FREE: f32 = 20.0;
    let outwards = (at[1] - middle[1]).atan2(at[0] - middle[0]);
    let places = [0, 1, -1, 2, -2, 3, -3, 4].map(|eighth| {
        let (sin, cos) = (outwards + eighth as f32 * std::f32::consts::FRAC_PI_4).sin_cos();
        [at[0] + 28.0 * cos, at[1] + 26.0 * sin]
    });
    let room = |place: &[f32; 2]| {
        let distances = avoid
            .iter()
            .map(|p| (p[0] - place[0]).hypot(p[1] - place[1]));
        distances.fold(FREE, f32::min)
    };
    places
        .into_iter()
        .rev()
        .max_by(|a, b| room(a).total_cmp(&room(b)))
        .unwrap_or(places[0])
}

/// Many faint points; of more than [`CLOUD`], every n-th only.
pub fn draw_cloud(canvas: &mut Canvas, axes: &Axes, points: &[[f32; 2]]) {
    let every = points.len().div_ceil(CLOUD).max(1);
    // Points come in sequences of five: a stride divisible by five would show only one position.
    let every = if every.is_multiple_of(5) {
        every + 1
    } else {
        every
    };
    let shown = points.len().div_ceil(every).max(1);
    let alpha = (250.0 / shown as f32).clamp(0.16, 0.5);
    for point in points.iter().step_by(every).filter(|p| finite(p)) {
        canvas.marker(
            axes.point(*point),
            Shape::Disc,
            2.2,
            color(0).fade(alpha),
            None,
        );
    }
}

/// A marker with its number in white.
pub fn numbered(canvas: &mut Canvas, at: [f32; 2], shape: Shape, ink: Ink, number: usize) {
    canvas.marker(at, shape, RADIUS, ink, Some((Ink::WHITE, 1.2)));
    let style = Type {
        size: 11.5,
        ink: Ink::WHITE,
        bold: true,
        ..Type::default()
    };
    canvas.text(at, &number.to_string(), style);
}

/// Five points numbered 0 to 4 and joined in order; `look` returns the marker of each position.
pub fn draw_sequence(
    canvas: &mut Canvas,
    axes: &Axes,
    points: &Frame,
    look: impl Fn(usize) -> (Shape, Ink),
) {
    let at = points.map(|point| axes.point(point));
    for (i, ends) in at.windows(2).enumerate() {
        let sampled = (i..i + 2)
            .map(&look)
            .find(|(shape, _)| *shape == Shape::Disc);
        canvas.line(ends, sampled.unwrap_or(look(i)).1.fade(0.75), 1.5);
    }
    for (i, at) in at.into_iter().enumerate().filter(|(_, at)| finite(at)) {
        let (shape, ink) = look(i);
        numbered(canvas, at, shape, ink, i);
    }
}

/// The path of each of the five points through `frames` (t = 0 … T), coloured by t, numbered at t =
/// 0.
pub fn draw_paths(canvas: &mut Canvas, axes: &Axes, frames: &[Frame]) {
    let last = frames.len().saturating_sub(1).max(1) as f32;
    for (t, step) in frames.windows(2).enumerate().rev() {
        for (from, to) in step[0].iter().zip(&step[1]) {
            canvas.line(
                &[axes.point(*from), axes.point(*to)],
                Ink::viridis((t as f32 + 0.5) / last),
                1.2,
            );
        }
    }
    for point in frames.last().into_iter().flatten().filter(|p| finite(p)) {
        let edge = Some((Ink::viridis(1.0), 1.8));
        canvas.marker(axes.point(*point), Shape::Disc, 4.0, Ink::WHITE, edge);
    }
    for (i, point) in frames
        .first()
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, p)| finite(p))
    {
        numbered(
            canvas,
            axes.point(*point),
            Shape::Disc,
            Ink::viridis(0.0),
            i,
        );
    }
}

/// Colour bar of t from 0 (bottom) to `last` (top).
pub fn color_bar(canvas: &mut Canvas, frame: [f32; 4], last: usize) {
    color_ramp(canvas, frame, last.max(1) as f64, "t");
}

/// Colour bar from 0 (bottom) to `last` (top), with the label `name` above.
pub fn color_ramp(canvas: &mut Canvas, frame: [f32; 4], last: f64, name: &str) {
    let [left, top, width, height] = frame;
    let axes = Axes::new(frame, [0.0, 1.0], [0.0, last], false);
    for y in 0..height as usize {
        canvas.bar(
            [left, top + y as f32],
            [width, 1.0],
            Ink::viridis(1.0 - y as f32 / height),
        );
    }
    axes.right_numbers(canvas);
    axes.outline(canvas);
    canvas.text([left + width / 2.0, top - 17.0], name, Type::default());
}

/// The symbol of a legend entry.
pub enum Mark {
    /// A point of a cloud.
    Dot(Ink),
    /// An empty circle.
    Ring(Ink),
    /// A numbered disc.
    Numbered(Ink),
    /// A numbered square.
    Known(Ink),
}

/// Legend entries side by side, centred on the page at height `y`.
pub fn legend(canvas: &mut Canvas, y: f32, entries: &[(&str, Mark)]) {
    let style = Type {
        align: 0.0,
        math: true,
        ..Type::default()
    };
    let width = |name: &str| 55.0 + text_width(name, style);
    let total: f32 = entries.iter().map(|(name, _)| width(name)).sum::<f32>() - 38.0;
    let mut x = (canvas.size[0] - total) / 2.0;
    for (name, mark) in entries {
        match mark {
            Mark::Dot(ink) => canvas.marker([x, y], Shape::Disc, 3.0, *ink, None),
            Mark::Ring(ink) => {
                canvas.marker([x, y], Shape::Disc, 7.5, Ink::WHITE, Some((*ink, 1.6)))
            }
            Mark::Numbered(ink) => canvas.marker([x, y], Shape::Disc, RADIUS, *ink, None),
            Mark::Known(ink) => canvas.marker([x, y], Shape::Square, RADIUS, *ink, None),
        }
        canvas.text([x + 17.0, y], name, style);
        x += width(name);
    }
}

fn finite(point: &[f32; 2]) -> bool {
    point.iter().all(|v| v.is_finite())
}
