//! Axes for the [figures](super): a frame on the page, the ranges it shows, and ticks at round
//! numbers.

use super::plot::{Canvas, Ink, Type, text_width};

/// Style of the tick labels.
const NUMBERS: Type = Type {
    size: 13.0,
    ink: Ink::GREY,
    align: 0.5,
    bold: false,
    upwards: false,
    halo: false,
    math: true,
};

/// One panel: a frame on the page and the ranges of its axes.
pub struct Axes {
    /// Left, top, width, height in logical pixels.
    pub frame: [f32; 4],
    x: [f64; 2],
    y: [f64; 2],
    log_x: bool,
    log_y: bool,
    /// Distance between ticks on x; `None` to choose it automatically.
    pub x_step: Option<f64>,
}

impl Axes {
    /// A square frame of the plane around the origin, ±`reach` in both directions.
    pub fn plane(left: f32, top: f32, side: f32, reach: f32) -> Axes {
        let range = [-f64::from(reach), f64::from(reach)];
        let x_step = Some(round_step(range, side / 64.0));
        Axes {
            frame: [left, top, side, side],
            x: range,
            y: range,
            log_x: false,
            log_y: false,
            x_step,
        }
    }

    /// Any two ranges; with `log_y` the second must be positive and is drawn logarithmically.
    pub fn new(frame: [f32; 4], x: [f64; 2], y: [f64; 2], log_y: bool) -> Axes {
        let y = if log_y { y.map(f64::log10) } else { y };
        Axes {
            frame,
            x: widened(x),
            y: widened(y),
            log_x: false,
            log_y,
            x_step: None,
        }
    }

    /// Two positive ranges, both drawn logarithmically.
    pub fn logarithmic(frame: [f32; 4], x: [f64; 2], y: [f64; 2]) -> Axes {
        Axes {
            log_x: true,
            x: widened(x.map(f64::log10)),
            ..Axes::new(frame, [0.0, 1.0], y, true)
        }
    }

    /// Where (x, y) lies on the page.
    pub fn at(&self, x: f64, y: f64) -> [f32; 2] {
        let [left, top, width, height] = self.frame;
        let x = if self.log_x { x.log10() } else { x };
        let y = if self.log_y { y.log10() } else { y };
        let share = |v: f64, [low, high]: [f64; 2]| ((v - low) / (high - low)) as f32;
        [
            left + width * share(x, self.x),
            top + height * (1.0 - share(y, self.y)),
        ]
    }

    /// [`at`](Axes::at) for a point of the plane.
    pub fn point(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        self.at(x.into(), y.into())
    }

    /// Draws grid and tick labels; without `left_numbers` y has no labels, for panels that share
    /// them with a neighbour.
    pub fn grid(&self, canvas: &mut Canvas, left_numbers: bool) {
        let [left, top, width, height] = self.frame;
        for (value, number) in self.x_ticks() {
            let x = self.at(value, 1.0)[0];
            canvas.line(&[[x, top], [x, top + height]], Ink::GRID, 1.0);
            canvas.line(
                &[[x, top + height], [x, top + height + 5.0]],
                Ink::BLACK,
                1.0,
            );
            canvas.text([x, top + height + 15.0], &number, NUMBERS);
        }
        for (value, number) in self.y_ticks() {
            let y = self.at(1.0, value)[1];
            canvas.line(&[[left, y], [left + width, y]], Ink::GRID, 1.0);
            canvas.line(&[[left - 5.0, y], [left, y]], Ink::BLACK, 1.0);
            if left_numbers {
                canvas.text(
                    [left - 9.0, y],
                    &number,
                    Type {
                        align: 1.0,
                        ..NUMBERS
                    },
                );
            }
        }
        for y in self.small_ticks() {
            canvas.line(&[[left - 3.0, y], [left, y]], Ink::BLACK, 0.8);
        }
    }

    /// Draws y tick labels on the right, for a colour bar.
    pub fn right_numbers(&self, canvas: &mut Canvas) {
        let [left, _, width, _] = self.frame;
        for (value, number) in self.y_ticks() {
            let y = self.at(0.0, value)[1];
            canvas.line(
                &[[left + width, y], [left + width + 5.0, y]],
                Ink::BLACK,
                1.0,
            );
            canvas.text(
                [left + width + 9.0, y],
                &number,
                Type {
                    align: 0.0,
                    ..NUMBERS
                },
            );
        }
    }

    /// Draws the frame; call it after drawing the data.
    pub fn outline(&self, canvas: &mut Canvas) {
        let [left, top, width, height] = self.frame;
        let right = left + width;
        let bottom = top + height;
        let corners = [
            [left, top],
            [right, top],
            [right, bottom],
            [left, bottom],
            [left, top],
        ];
        canvas.line(&corners, Ink::BLACK, 1.1);
    }

    /// Draws the title and the labels of both axes (empty: none).
    pub fn names(&self, canvas: &mut Canvas, title: &str, x: &str, y: &str) {
        let [left, top, width, height] = self.frame;
        let across = left + width / 2.0;
        let down = top + height / 2.0;
        canvas.text(
            [across, top - 17.0],
            title,
            Type {
                size: 17.0,
                bold: true,
                ..Type::default()
            },
        );
        canvas.text([across, top + height + 37.0], x, Type::default());
        let numbers = self
            .y_ticks()
            .iter()
            .map(|(_, number)| text_width(number, NUMBERS))
            .fold(0.0, f32::max);
        canvas.text(
            [(left - numbers - 24.0).max(14.0), down],
            y,
            Type {
                upwards: true,
                ..Type::default()
            },
        );
    }

    /// Number of ticks on both axes.
    pub fn count_ticks(&self) -> usize {
        self.x_ticks().len() + self.y_ticks().len() + self.small_ticks().len()
    }

    /// Heights of the minor ticks, 2, 3, … 9 times the powers of ten, if only the powers have
    /// labels.
    fn small_ticks(&self) -> Vec<f32> {
        let [low, high] = self.y;
        if !self.log_y || !(2.0..=8.0).contains(&(high - low)) {
            return Vec::new();
        }
        let powers = low.floor() as i32..=high.ceil() as i32;
        let values = powers.flat_map(|k| (2..10).map(move |m| f64::from(m) * 10f64.powi(k)));
        values
            .filter(|v| (low..=high).contains(&v.log10()))
            .map(|v| self.at(1.0, v)[1])
            .collect()
    }

    fn x_ticks(&self) -> Vec<(f64, String)> {
        let count = self.frame[2] / 85.0;
        if self.log_x {
            log_ticks(self.x, count)
        } else {
            linear_ticks(
                self.x,
                self.x_step.unwrap_or_else(|| round_step(self.x, count)),
            )
        }
    }

    fn y_ticks(&self) -> Vec<(f64, String)> {
        let count = self.frame[3] / 64.0;
        if self.log_y {
            log_ticks(self.y, count)
        } else {
            linear_ticks(self.y, round_step(self.y, count))
        }
    }
}

/// Ticks at round numbers between 10^`low` and 10^`high`, with their labels.
fn log_ticks([low, high]: [f64; 2], count: f32) -> Vec<(f64, String)> {
    let decades = high - low;
    if decades < 1.0 {
        let range = [low, high].map(|v| 10f64.powf(v));
        return linear_ticks(range, round_step(range, count));
    }
    let every = (decades / 8.0).ceil() as i32;
    let powers = low.floor() as i32..=high.ceil() as i32;
    let steps: &[f64] = if decades < 2.0 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let ticks = powers
        .filter(|k| k % every == 0)
        .flat_map(|k| steps.iter().map(move |m| (k, *m)));
    ticks
        .map(|(k, m)| (m * 10f64.powi(k), k))
        .filter(|(v, _)| (low - 1e-9..=high + 1e-9).contains(&v.log10()))
        .map(|(v, k)| {
            (
                v,
                if decades < 2.0 {
                    decimal(v, -k)
                } else {
                    format!("10^{k}").replace('-', "−")
                },
            )
        })
        .collect()
}

/// Makes a range drawable if it has no width, or its ends or width are not finite.
fn widened([low, high]: [f64; 2]) -> [f64; 2] {
    if !(low.is_finite() && high.is_finite() && (high - low).is_finite()) {
        [0.0, 1.0]
    } else if high - low > 1e-12 * low.abs().max(high.abs()) {
        [low, high]
    } else {
        let half = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
        [low - half, high + half]
    }
}

/// 1, 2 or 5 times a power of ten that divides a range into about `count` parts.
fn round_step([low, high]: [f64; 2], count: f32) -> f64 {
    let rough = (high - low) / f64::from(count).max(2.0);
    let unit = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|m| m * unit)
        .into_iter()
        .find(|step| *step >= 0.999 * rough)
        .unwrap_or(10.0 * unit)
}

/// The multiples of `step` in a range, with their labels; none unless `step` is a normal f64.
fn linear_ticks([low, high]: [f64; 2], step: f64) -> Vec<(f64, String)> {
    if !step.is_normal() {
        return Vec::new();
    }
    let places = -(step.log10() + 1e-9).floor() as i32;
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last)
        .map(|i| (i as f64 * step, decimal(i as f64 * step, places)))
        .collect()
}

/// Formats a number with `places` decimals, a true minus sign and commas between thousands; very
/// large and very small ones in scientific notation.
pub fn decimal(value: f64, places: i32) -> String {
    let size = value.abs();
    if size >= 1e7 || (size < 1e-4 && places > 5) {
        return if size == 0.0 {
            "0".into()
        } else {
            format!("{value:.1e}").replace('-', "−")
        };
    }
    let text = format!("{:.*}", places.max(0) as usize, size);
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    format!(
        "{}{grouped}{rest}",
        if value < 0.0 && !zero { "−" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(range: [f64; 2]) -> Vec<String> {
        linear_ticks(range, round_step(range, 6.0))
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn ticks_are_round_and_stay_inside() {
        assert_eq!(texts([-1.35, 1.35]), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(
            texts([0.0, 20_000.0]),
            ["0", "5,000", "10,000", "15,000", "20,000"]
        );
        assert_eq!(
            texts([0.0, 0.003]),
            [
                "0.0000", "0.0005", "0.0010", "0.0015", "0.0020", "0.0025", "0.0030"
            ]
        );
    }

    #[test]
    fn very_small_and_very_large_numbers_are_short() {
        assert_eq!(
            texts([0.0, 1e-6]),
            ["0", "2.0e−7", "4.0e−7", "6.0e−7", "8.0e−7", "1.0e−6"]
        );
        assert_eq!(decimal(-2.5e8, 0), "−2.5e8");
        assert_eq!(decimal(-1234.5, 1), "−1,234.5");
    }

    #[test]
    fn logarithmic_axes_put_powers_at_equal_distances() {
        let axes = Axes::new([0.0, 0.0, 100.0, 300.0], [0.0, 1.0], [1e-3, 1.0], true);
        let heights = [1e-3, 1e-2, 1e-1, 1.0].map(|y| axes.at(0.0, y)[1].round());
        assert_eq!(heights, [300.0, 200.0, 100.0, 0.0]);
        assert_eq!(axes.y_ticks().last().map(|t| t.1.as_str()), Some("10^0"));
    }

    #[test]
    fn both_axes_can_be_logarithmic() {
        let axes = Axes::logarithmic([0.0, 0.0, 200.0, 300.0], [0.1, 10.0], [1.0, 1000.0]);
        assert_eq!(
            [0.1, 1.0, 10.0].map(|x| axes.at(x, 1.0)[0].round()),
            [0.0, 100.0, 200.0]
        );
        assert_eq!(
            axes.x_ticks()
                .iter()
                .map(|t| t.1.as_str())
                .collect::<Vec<_>>(),
            ["10^−1", "10^0", "10^1"]
        );
    }

    #[test]
    fn ranges_without_width_can_be_drawn() {
        for range in [
            [0.0, 0.0],
            [3.0, 3.0],
            [f64::NAN, 1.0],
            [f64::INFINITY, f64::NEG_INFINITY],
        ] {
            let axes = Axes::new([0.0, 0.0, 100.0, 100.0], range, range, false);
            assert!(axes.at(0.0, 0.0).iter().all(|v| v.is_finite()));
        }
        for range in [
            [0.0, 5e-324],
            [-1e308, 1e308],
            [1e300, 1e308],
            [1e15, 1e15 + 1.0],
        ] {
            let axes = Axes::new([0.0, 0.0, 100.0, 100.0], range, range, false);
            assert!(axes.count_ticks() < 30, "{range:?}");
        }
    }
}
