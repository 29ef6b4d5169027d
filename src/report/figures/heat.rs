//! Heat maps.

use image::RgbImage;

use super::axes::Axes;
use super::marks::color_ramp;
use super::plot::{Canvas, Ink, Type};

const SIDE: f32 = 280.0;
const GAP: f32 = 40.0;
const TOP: f32 = 44.0;

/// Square heat maps side by side on one scale from 0, each given as (title, columns, [rows,
/// columns] values). `name` is the label above the colour bar. Dark is low.
pub fn heat_maps(maps: &[(String, usize, &[f64])], name: &str) -> RgbImage {
    let width = GAP + maps.len() as f32 * (SIDE + GAP) + 80.0;
    let mut canvas = Canvas::new(width as u32, (TOP + SIDE + 24.0) as u32);
    let values = maps.iter().flat_map(|(.., values)| values.iter().copied());
    let most = values.filter(|v| v.is_finite()).fold(1e-9, f64::max);
    for (i, (title, columns, values)) in maps.iter().enumerate() {
        let left = GAP + i as f32 * (SIDE + GAP);
        let wide = SIDE / *columns as f32;
        let high = SIDE / (values.len() / columns) as f32;
        for (at, value) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
            let corner = [
                left + (at % columns) as f32 * wide,
                TOP + (at / columns) as f32 * high,
            ];
            canvas.bar(
                corner,
                [wide + 0.5, high + 0.5],
                Ink::viridis((value / most) as f32),
            );
        }
        Axes::new([left, TOP, SIDE, SIDE], [0.0, 1.0], [0.0, 1.0], false).outline(&mut canvas);
        canvas.text([left + SIDE / 2.0, TOP - 20.0], title, Type::default());
    }
    color_ramp(&mut canvas, [width - 90.0, TOP, 18.0, SIDE], most, name);
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_colours_in_all_maps() {
        let page = heat_maps(
            &[
                ("a".into(), 2, &[0.0, 1.0, 2.0, f64::NAN]),
                ("b".into(), 1, &[2.0]),
            ],
            "x",
        );
        let at = |x: f32, y: f32| page.get_pixel((2.0 * x) as u32, (2.0 * y) as u32).0;
        let largest = at(GAP + 40.0, TOP + SIDE - 40.0);
        assert_eq!(at(2.0 * GAP + SIDE + 100.0, TOP + 100.0), largest);
        assert_ne!(at(GAP + 40.0, TOP + 40.0), largest);
        assert_eq!(
            at(GAP + SIDE - 40.0, TOP + SIDE - 40.0),
            [255; 3],
            "what is not a number stays white"
        );
    }
}
