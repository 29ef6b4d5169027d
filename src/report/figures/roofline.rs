//! The roofline of an adapter (Williams et al. 2009): kernel throughput over arithmetic intensity.

use image::RgbImage;

use super::axes::Axes;
use super::marks::color;
use super::plot::{Canvas, Ink, Shape, Type, text_width};

/// Measured throughput of a kernel at one shape.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The op.
    pub op: String,
    /// Whether it is the forward kernel, not one of the gradients.
    pub forward: bool,
    /// Operations per byte.
    pub intensity: f64,
    /// 10⁹ operations per second.
    pub gflops: f64,
}

/// Points of all kernels below the roof min(`fma`, intensity × `copy`), given in 10⁹ operations and
/// 10⁹ bytes per second.
pub fn roofline(title: &str, [fma, copy]: [f64; 2], reached: &[Reached]) -> RgbImage {
    let shown: Vec<&Reached> = reached
        .iter()
        .filter(|r| r.intensity > 0.0 && r.gflops > 0.0)
        .collect();
    let spread = |of: &dyn Fn(&Reached) -> f64, near: f64| {
        let values = || shown.iter().map(|r| of(r)).chain([near]);
        [
            values().fold(f64::INFINITY, f64::min),
            values().fold(0.0, f64::max),
        ]
    };
    let ridge = fma / copy;
    let [left, right] = spread(&|r| r.intensity, ridge);
    let [low, _] = spread(&|r| r.gflops, fma);
    let x = [0.5 * left, 3.0 * right];
    let y = [0.4 * low.min(fma / 20.0), 2.0 * fma];
    let mut canvas = Canvas::new(900, 580);
    let axes = Axes::logarithmic([85.0, 45.0, 600.0, 460.0], x, y);
    axes.grid(&mut canvas, true);
    draw_roof(&mut canvas, &axes, x, [fma, copy]);
    let mut ops: Vec<&str> = Vec::new();
    for r in &shown {
        let op = ops.iter().position(|op| *op == r.op).unwrap_or_else(|| {
            ops.push(&r.op);
            ops.len() - 1
        });
        draw_mark(&mut canvas, axes.at(r.intensity, r.gflops), op, r.forward);
    }
    axes.outline(&mut canvas);
    axes.names(&mut canvas, "", "operations a byte", "GFLOP/s");
    let shrink = (880.0 / text_width(title, Type::default())).min(1.0);
    canvas.text(
        [450.0, 20.0],
        title,
        Type {
            size: shrink * 15.0,
            bold: true,
            ..Type::default()
        },
    );
    key(&mut canvas, &ops);
    canvas.finish()
}

fn draw_roof(canvas: &mut Canvas, axes: &Axes, [left, right]: [f64; 2], [fma, copy]: [f64; 2]) {
    let ridge = (fma / copy).clamp(left, right);
    // The slope may start below the panel.
    let floor = axes.frame[1] + axes.frame[3];
    let [from, to, end] = [
        axes.at(left, left * copy),
        axes.at(ridge, fma),
        axes.at(right, fma),
    ];
    let from = if from[1] > floor {
        let share = (floor - to[1]) / (from[1] - to[1]);
        [to[0] + share * (from[0] - to[0]), floor]
    } else {
        from
    };
    canvas.line(&[from, to, end], Ink::BLACK, 2.0);
    let style = Type {
        size: 13.0,
        halo: true,
        ..Type::default()
    };
    let arithmetic = format!("{fma:.0} GFLOP/s in registers");
    canvas.text(
        [end[0] - 8.0, end[1] - 12.0],
        &arithmetic,
        Type {
            align: 1.0,
            ..style
        },
    );
    let memory = format!("{copy:.1} GB/s of copying");
    let middle = [0, 1].map(|i| (from[i] + to[i]) / 2.0);
    canvas.text(
        [middle[0] + 14.0, middle[1] + 16.0],
        &memory,
        Type {
            align: 0.0,
            ..style
        },
    );
}

/// Filled for forward, hollow for gradients; colour and shape tell ops apart.
fn draw_mark(canvas: &mut Canvas, at: [f32; 2], op: usize, forward: bool) {
    let shape = if op < Ink::PALETTE.len() {
        Shape::Disc
    } else {
        Shape::Square
    };
    let (fill, edge) = if forward {
        (color(op), Ink::WHITE)
    } else {
        (Ink::WHITE.fade(0.6), color(op))
    };
    canvas.marker(at, shape, 5.5, fill, Some((edge, 1.6)));
}

fn key(canvas: &mut Canvas, ops: &[&str]) {
    let style = Type {
        align: 0.0,
        size: 14.0,
        ..Type::default()
    };
    for (i, op) in ops.iter().enumerate() {
        let y = 60.0 + 24.0 * i as f32;
        draw_mark(canvas, [710.0, y], i, true);
        canvas.text([724.0, y], op, style);
    }
    let y = 60.0 + 24.0 * ops.len() as f32 + 12.0;
    for (i, (text, fill)) in [("forward", Ink::GREY), ("gradients", Ink::WHITE)]
        .into_iter()
        .enumerate()
    {
        let y = y + 24.0 * i as f32;
        canvas.marker([710.0, y], Shape::Disc, 5.5, fill, Some((Ink::GREY, 1.6)));
        canvas.text([724.0, y], text, style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_drawn_with_and_without_kernels() {
        let point = Reached {
            op: "matmul".into(),
            forward: false,
            intensity: 40.0,
            gflops: 12.0,
        };
        let nothing = Reached {
            gflops: 0.0,
            ..point.clone()
        };
        let empty = roofline("adapter", [100.0, 10.0], &[nothing]);
        let drawn = roofline("adapter", [100.0, 10.0], &[point]);
        assert_eq!(drawn.dimensions(), (1800, 1160));
        assert!(empty != drawn, "the point is to be seen");
    }
}
