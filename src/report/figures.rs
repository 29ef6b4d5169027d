//! The figures of the toy experiment (the paper's Figures 2, 3, 11 and 12) and its samples,
//! training curves, heat maps, galleries of images in labelled rows, and the contact sheet of a
//! data set.
//!
//! Each function takes plain numbers and returns the picture; [`save`] writes it with its
//! provenance as metadata. Points that are not finite are left out; the scales adapt to the data.

mod axes;
mod file;
mod gallery;
mod heat;
mod letters;
mod marks;
pub(crate) mod plot;
mod roofline;

pub use file::{save, save_animation, save_of_run};
pub use gallery::{Block, Row, gallery};
pub use heat::heat_maps;
pub use letters::{Letter, Line, letters, visible};
pub use roofline::{Reached, roofline};

use image::RgbImage;

use axes::Axes;
use marks::{
    Mark, along, color, color_bar, draw_centroids, draw_cloud, draw_paths, draw_sequence, legend,
    nearest, numbered, tuple,
};
use plot::{Canvas, Ink, Shape, Type, text_width};

/// The five points of a sequence in the plane: x = (x_1, …, x_5).
pub type Frame = [[f32; 2]; 5];

/// The panels show at least ±`REACH`, so that the figures of one experiment share a scale.
const REACH: f32 = 1.35;
/// Curves of at most this many points show a marker at each.
const FEW: usize = 40;
/// Curves of fewer points are not smoothed; longer ones are averaged over 1/`SMOOTH` of their
/// points to each side.
const SMOOTH: usize = 60;

/// Figure 2: the centroids, and each of `samples` as five numbered points joined in order; `codes`
/// are their sequences.
pub fn toy_data(centroids: &[[f32; 2]], samples: &[Frame], codes: &[[u32; 5]]) -> RgbImage {
    let mut canvas = Canvas::new(640, 630 + 28 * codes.len() as u32);
    let reach = reach(centroids.iter().chain(samples.iter().flatten()));
    let axes = plane(&mut canvas, [70.0, 20.0], 550.0, reach, true);
    axes.names(&mut canvas, "", "first dimension", "second dimension");
    let all: Vec<[f32; 2]> = samples.iter().flat_map(|sample| along(sample)).collect();
    draw_centroids(&mut canvas, &axes, centroids, "e", &all);
    for (i, sample) in samples.iter().enumerate() {
        draw_sequence(&mut canvas, &axes, sample, |_| (Shape::Disc, color(i)));
    }
    for (i, codes) in codes.iter().enumerate() {
        let y = 636.0 + 28.0 * i as f32;
        canvas.line(&[[205.0, y], [245.0, y]], color(i), 1.6);
        canvas.marker([225.0, y], Shape::Disc, 8.0, color(i), None);
        canvas.text(
            [258.0, y],
            &format!("sequence {}", tuple(codes)),
            Type {
                align: 0.0,
                ..Type::default()
            },
        );
    }
    canvas.finish()
}

/// Figure 3: the five points under noise (`forward`, t = 0 … T) and denoised (`reverse`, t = T …
/// 0), coloured by t.
///
/// Below the titles are the sequences of nearest centroids at t = 0.
pub fn paths(centroids: &[[f32; 2]], forward: &[Frame], reverse: &[Frame]) -> RgbImage {
    let mut canvas = Canvas::new(1040, 566);
    let reach = reach(
        centroids
            .iter()
            .chain(forward.iter().chain(reverse).flatten()),
    );
    let backwards: Vec<Frame> = reverse.iter().rev().copied().collect();
    for (panel, (title, frames)) in [
        ("Forward noise process", forward),
        ("Reverse process", &backwards),
    ]
    .into_iter()
    .enumerate()
    {
        let axes = plane(
            &mut canvas,
            [60.0 + 465.0 * panel as f32, 66.0],
            435.0,
            reach,
            panel == 0,
        );
        let [left, top, side, _] = axes.frame;
        let middle = left + side / 2.0;
        canvas.text(
            [middle, top - 42.0],
            title,
            Type {
                size: 17.0,
                bold: true,
                ..Type::default()
            },
        );
        draw_centroids(&mut canvas, &axes, centroids, "e", frames.as_flattened());
        draw_paths(&mut canvas, &axes, frames);
        if let Some(data) = frames.first() {
            let codes = data.map(|x| nearest(centroids, x));
            let word = if panel == 0 { "starts from" } else { "ends in" };
            canvas.text(
                [middle, top - 17.0],
                &format!("{word} {}", tuple(&codes)),
                Type::default(),
            );
        }
    }
    let last = forward.len().max(reverse.len()).saturating_sub(1);
    color_bar(&mut canvas, [983.0, 66.0, 14.0, 435.0], last);
    let noise = format!("noise, t = {last}");
    let entries = [
        ("data, t = 0", Mark::Numbered(Ink::viridis(0.0))),
        (noise.as_str(), Mark::Ring(Ink::viridis(1.0))),
    ];
    legend(&mut canvas, 543.0, &entries);
    canvas.finish()
}

/// Figure 11: the codes before and after training among the data, and the true centroids of the
/// data.
pub fn codes_before_after(
    truth: &[[f32; 2]],
    before: &[[f32; 2]],
    after: &[[f32; 2]],
    data: &[[f32; 2]],
) -> RgbImage {
    let mut canvas = Canvas::new(980, 544);
    let reach = reach(truth.iter().chain(before).chain(after).chain(data));
    for (panel, (title, codes)) in [("Before training", before), ("After training", after)]
        .into_iter()
        .enumerate()
    {
        let axes = plane(
            &mut canvas,
            [60.0 + 465.0 * panel as f32, 40.0],
            435.0,
            reach,
            panel == 0,
        );
        axes.names(&mut canvas, title, "", "");
        draw_cloud(&mut canvas, &axes, data);
        draw_centroids(&mut canvas, &axes, truth, "μ", codes);
        for (k, code) in codes.iter().enumerate() {
            numbered(&mut canvas, axes.point(*code), Shape::Disc, color(1), k);
        }
    }
    let entries = [
        ("data", Mark::Dot(color(5))),
        ("true centroid μ_k", Mark::Ring(Ink::BLACK)),
        ("code e_k, marked with its k", Mark::Numbered(color(1))),
    ];
    legend(&mut canvas, 518.0, &entries);
    canvas.finish()
}

/// Figure 12: one panel for each of `samples`, which were sampled given the (position, code) pairs
/// `known`; `codes` are the titles.
pub fn inpainting(
    centroids: &[[f32; 2]],
    known: &[(usize, u32)],
    samples: &[Frame],
    codes: &[[u32; 5]],
) -> RgbImage {
    let mut canvas = Canvas::new(60 + 390 * samples.len().max(1) as u32, 470);
    let reach = reach(centroids.iter().chain(samples.iter().flatten()));
    for (panel, sample) in samples.iter().enumerate() {
        let axes = plane(
            &mut canvas,
            [60.0 + 390.0 * panel as f32, 40.0],
            365.0,
            reach,
            panel == 0,
        );
        axes.names(
            &mut canvas,
            &codes
                .get(panel)
                .map(|codes| tuple(codes))
                .unwrap_or_default(),
            "",
            "",
        );
        draw_centroids(&mut canvas, &axes, centroids, "e", &along(sample));
        draw_sequence(&mut canvas, &axes, sample, |position| {
            let given = known.iter().any(|(p, _)| *p == position);
            if given {
                (Shape::Square, color(1))
            } else {
                (Shape::Disc, color(0))
            }
        });
    }
    let given: Vec<String> = known
        .iter()
        .map(|(position, code)| format!("q_{position} = {code}"))
        .collect();
    let given = format!("known: {}", given.join(", "));
    legend(
        &mut canvas,
        450.0,
        &[
            (&given, Mark::Known(color(1))),
            ("sampled", Mark::Numbered(color(0))),
        ],
    );
    canvas.finish()
}

/// All sampled points around the centroids (left), the share of each valid chain (right), and
/// `caption` below.
///
/// The bars are in the order of `histogram`; the line marks the share of every chain in the data, 1
/// / `histogram.len()`.
pub fn samples_overview(
    centroids: &[[f32; 2]],
    points: &[[f32; 2]],
    caption: &str,
    histogram: &[f64],
) -> RgbImage {
    let lines = caption.lines().count() as u32;
    let mut canvas = Canvas::new(1200, 541 + 24 * lines);
    let plane = plane(
        &mut canvas,
        [60.0, 40.0],
        435.0,
        reach(centroids.iter().chain(points)),
        true,
    );
    plane.names(&mut canvas, "Sampled points", "", "");
    draw_cloud(&mut canvas, &plane, points);
    draw_centroids(&mut canvas, &plane, centroids, "e", &[]);
    draw_shares(&mut canvas, histogram);
    for (i, line) in caption.lines().enumerate() {
        let shrink = (1160.0 / text_width(line, Type::default())).min(1.0);
        let style = Type {
            size: shrink * Type::default().size,
            ..Type::default()
        };
        canvas.text([600.0, 543.0 + 24.0 * i as f32], line, style);
    }
    canvas.finish()
}

/// The right panel of [`samples_overview`].
fn draw_shares(canvas: &mut Canvas, histogram: &[f64]) {
    let chains = histogram.len().max(1) as f64;
    let even = 1.0 / chains;
    let top = histogram
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .fold(2.0 * even, f64::max)
        * 1.08;
    let mut axes = Axes::new(
        [600.0, 40.0, 580.0, 435.0],
        [0.0, chains],
        [0.0, top],
        false,
    );
    axes.x_step = (chains % 8.0 == 0.0).then_some(chains / 8.0);
    axes.grid(canvas, true);
    for (i, share) in histogram
        .iter()
        .enumerate()
        .filter(|(_, share)| **share > 0.0)
    {
        let [left, y] = axes.at(i as f64, *share);
        let [right, floor] = axes.at(i as f64 + 1.0, 0.0);
        canvas.bar(
            [left, y],
            [0.8 * (right - left), floor - y],
            color(0).fade(0.85),
        );
    }
    canvas.line(&[axes.at(0.0, even), axes.at(chains, even)], color(1), 1.8);
    let style = Type {
        ink: color(1),
        align: 1.0,
        halo: true,
        ..Type::default()
    };
    canvas.text(
        [1168.0, 58.0],
        &format!("line: all equal, 1/{chains}"),
        style,
    );
    axes.outline(canvas);
    axes.names(
        canvas,
        "Share of each valid chain",
        "index of the chain",
        "share of the valid samples",
    );
}

/// Curves over x, thin for the raw values and thick for a moving average; `log_y` leaves out values
/// that are not positive.
pub fn curves(
    title: &str,
    x_label: &str,
    y_label: &str,
    log_y: bool,
    series: &[(&str, &[(f64, f64)])],
) -> RgbImage {
    let mut canvas = Canvas::new(800, 500);
    let drawable = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite() && (!log_y || p.1 > 0.0);
    let series: Vec<(&str, Vec<(f64, f64)>)> = series
        .iter()
        .map(|(name, points)| (*name, points.iter().filter(drawable).copied().collect()))
        .collect();
    let axes = axes_for(series.iter().flat_map(|(_, points)| points), log_y);
    axes.grid(&mut canvas, true);
    for (i, (_, points)) in series.iter().enumerate() {
        let smooth = smoothed(points, log_y);
        let place = |points: &[(f64, f64)]| -> Vec<[f32; 2]> {
            points.iter().map(|p| axes.at(p.0, p.1)).collect()
        };
        if points.len() >= SMOOTH {
            canvas.line(&place(points), color(i).fade(0.3), 0.8);
        }
        canvas.line(&place(&smooth), color(i), 2.0);
        for at in place(points).into_iter().filter(|_| points.len() <= FEW) {
            canvas.marker(at, Shape::Disc, 3.0, color(i), None);
        }
    }
    axes.outline(&mut canvas);
    axes.names(&mut canvas, title, x_label, y_label);
    key(&mut canvas, &axes, &series);
    canvas.finish()
}

/// Axes that show all `points`, which are finite, and positive in y if `log_y`.
fn axes_for<'a>(points: impl Iterator<Item = &'a (f64, f64)> + Clone, log_y: bool) -> Axes {
    let x = span(points.clone().map(|p| p.0));
    let y = span(points.map(|p| p.1));
    let y = if log_y {
        [y[0] / 1.15, y[1] * 1.15]
    } else {
        [y[0] - 0.05 * (y[1] - y[0]), y[1] + 0.05 * (y[1] - y[0])]
    };
    let x = [x[0], x[1] + 0.015 * (x[1] - x[0])];
    Axes::new([85.0, 45.0, 690.0, 390.0], x, y, log_y)
}

/// Number of ticks on both axes of a figure of `points`.
pub(crate) fn count_ticks(points: &[(f64, f64)], log_y: bool) -> usize {
    let drawable = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite() && (!log_y || p.1 > 0.0);
    axes_for(points.iter().filter(drawable), log_y).count_ticks()
}

/// The legend, in the corner with the fewest raw points.
fn key(canvas: &mut Canvas, axes: &Axes, series: &[(&str, Vec<(f64, f64)>)]) {
    let style = Type {
        align: 0.0,
        ..Type::default()
    };
    let width = series
        .iter()
        .map(|(name, _)| text_width(name, style))
        .fold(0.0, f32::max)
        + 62.0;
    let height = 24.0 * series.len() as f32 + 10.0;
    let [left, top, w, h] = axes.frame;
    let right = left + w - width - 10.0;
    let bottom = top + h - height - 10.0;
    let corners = [
        [right, top + 10.0],
        [right, bottom],
        [left + 10.0, bottom],
        [left + 10.0, top + 10.0],
    ];
    let crowd = |[x, y]: &[f32; 2]| {
        let inside =
            |[a, b]: [f32; 2]| (*x..x + width).contains(&a) && (*y..y + height).contains(&b);
        series
            .iter()
            .flat_map(|(_, points)| points)
            .filter(|p| inside(axes.at(p.0, p.1)))
            .count()
    };
    let Some([x, y]) = corners.into_iter().min_by_key(crowd) else {
        return;
    };
    canvas.bar([x, y], [width, height], Ink::GRID);
    canvas.bar([x + 1.0, y + 1.0], [width - 2.0, height - 2.0], Ink::WHITE);
    for (i, (name, _)) in series.iter().enumerate() {
        let y = y + 17.0 + 24.0 * i as f32;
        canvas.line(&[[x + 10.0, y], [x + 40.0, y]], color(i), 2.5);
        canvas.text([x + 50.0, y], name, style);
    }
}

/// A moving average (of the logarithms if `log`); curves shorter than [`SMOOTH`] are unchanged.
fn smoothed(points: &[(f64, f64)], log: bool) -> Vec<(f64, f64)> {
    let reach = points.len() / SMOOTH;
    let average = |i: usize| {
        // A symmetric window at the start, where the curve is steep; at the end it only looks back.
        let reach = reach.min(i.max(reach / 6));
        let window = &points[i.saturating_sub(reach)..(i + reach + 1).min(points.len())];
        let sum: f64 = window
            .iter()
            .map(|p| if log { p.1.ln() } else { p.1 })
            .sum();
        let mean = sum / window.len() as f64;
        (points[i].0, if log { mean.exp() } else { mean })
    };
    (0..points.len()).map(average).collect()
}

/// The smallest and the largest of `values`.
fn span(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| {
        [low.min(v), high.max(v)]
    })
}

/// How far the panels must reach to show `points`, at least [`REACH`].
fn reach<'a>(points: impl Iterator<Item = &'a [f32; 2]>) -> f32 {
    points
        .flatten()
        .filter(|v| v.is_finite())
        .fold(REACH, |most, v| most.max(1.08 * v.abs()))
}

/// A square panel with its grid, empty.
fn plane(canvas: &mut Canvas, [left, top]: [f32; 2], side: f32, reach: f32, numbers: bool) -> Axes {
    let axes = Axes::plane(left, top, side, reach);
    axes.grid(canvas, numbers);
    axes.outline(canvas);
    axes
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: Frame = [
        [1.0, 0.0],
        [0.7, 0.7],
        [0.0, 1.0],
        [f32::NAN, 0.0],
        [-3.0, f32::INFINITY],
    ];

    #[test]
    fn pictures_have_their_sizes() {
        let codes = [[0, 1, 2, 3, 4]];
        assert_eq!(
            toy_data(&POINTS, &[POINTS], &codes).dimensions(),
            (1280, 1316)
        );
        assert_eq!(
            paths(&POINTS, &[POINTS; 4], &[POINTS; 4]).dimensions(),
            (2080, 1132)
        );
        assert_eq!(
            codes_before_after(&POINTS, &POINTS, &POINTS, &POINTS).dimensions(),
            (1960, 1088)
        );
        assert_eq!(
            inpainting(&POINTS, &[(0, 0)], &[POINTS; 3], &[[0; 5]; 3]).dimensions(),
            (2460, 940)
        );
        assert_eq!(
            samples_overview(&POINTS, &POINTS, "caption", &[0.5, 0.5]).dimensions(),
            (2400, 1130)
        );
        assert_eq!(
            curves("", "", "", true, &[("loss", &[(0.0, 1.0), (1.0, 0.0)])]).dimensions(),
            (1600, 1000)
        );
    }

    #[test]
    fn nothing_to_draw_is_no_mistake() {
        toy_data(&[], &[], &[]);
        paths(&[], &[], &[]);
        codes_before_after(&[], &[], &[], &[]);
        inpainting(&[], &[], &[], &[]);
        samples_overview(&[], &[], "", &[]);
        curves("", "", "", false, &[("none", &[])]);
        curves("", "", "", true, &[]);
    }

    #[test]
    fn the_panels_reach_as_far_as_the_data() {
        assert_eq!(reach([[0.2, -0.9]].iter()), REACH);
        assert_eq!(
            reach([[0.2, -10.0], [f32::NAN, f32::INFINITY]].iter()),
            10.8
        );
    }

    #[test]
    fn smoothing_keeps_straight_lines_and_short_curves() {
        let line: Vec<(f64, f64)> = (0..600).map(|i| (f64::from(i), 3.0)).collect();
        assert_eq!(smoothed(&line, false), line);
        let short = [(0.0, 1.0), (1.0, 9.0), (2.0, 4.0)];
        assert_eq!(smoothed(&short, false), short);
    }
}
