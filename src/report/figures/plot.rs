//! Drawing for the [figures](super): shapes and text on an antialiased page.
//!
//! Lengths are in logical pixels of [`SCALE`] real pixels each; y points down on the page, up in
//! the data. The fonts (Noto Sans, SIL Open Font License 1.1) are compiled in, so a picture looks
//! the same on every machine.

use image::RgbImage;
use tiny_skia::{
    Color, ColorU8, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Shader,
    Stroke, Transform,
};

/// Real pixels per logical pixel.
pub const SCALE: f32 = 2.0;

/// A colour with opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ink([f32; 4]);

impl Ink {
    /// Text and frames.
    pub const BLACK: Ink = Ink::hex(0x222222);
    /// Secondary text.
    pub const GREY: Ink = Ink::hex(0x6B6B6B);
    /// Grid lines.
    pub const GRID: Ink = Ink::hex(0xE6E6E6);
    /// The page.
    pub const WHITE: Ink = Ink::hex(0xFFFFFF);
    /// Okabe and Ito's palette, safe for colour-blind readers: blue, vermilion, green, purple,
    /// orange, sky.
    pub const PALETTE: [Ink; 6] = [
        Ink::hex(0x0072B2),
        Ink::hex(0xD55E00),
        Ink::hex(0x009E73),
        Ink::hex(0xCC79A7),
        Ink::hex(0xE69F00),
        Ink::hex(0x56B4E9),
    ];

    /// Opaque 0xRRGGBB.
    pub const fn hex(rgb: u32) -> Ink {
        Ink([
            ((rgb >> 16) & 255) as f32 / 255.0,
            ((rgb >> 8) & 255) as f32 / 255.0,
            (rgb & 255) as f32 / 255.0,
            1.0,
        ])
    }

    /// The same colour, `alpha` times as opaque.
    pub const fn fade(self, alpha: f32) -> Ink {
        let Ink([r, g, b, a]) = self;
        Ink([r, g, b, a * alpha])
    }

    /// Viridis at `s` in 0..1, without its palest yellow, which would vanish on a white page.
    pub fn viridis(s: f32) -> Ink {
        const STOPS: [u32; 9] = [
            0x440154, 0x482878, 0x3E4A89, 0x31688E, 0x26828E, 0x1F9E89, 0x35B779, 0x6DCD59,
            0xB4DE2C,
        ];
        let s = s.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
        let i = (s as usize).min(STOPS.len() - 2);
        let Ink(a) = Ink::hex(STOPS[i]);
        let Ink(b) = Ink::hex(STOPS[i + 1]);
        Ink(std::array::from_fn(|c| {
            a[c] + (b[c] - a[c]) * (s - i as f32)
        }))
    }

    fn paint(self) -> Paint<'static> {
        let [r, g, b, a] = self.0;
        let color = Color::from_rgba(r, g, b, a).unwrap_or(Color::BLACK);
        Paint {
            shader: Shader::SolidColor(color),
            ..Default::default()
        }
    }
}

/// The outline of a marker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A circle.
    Disc,
    /// An upright square of about the circle's area.
    Square,
}

/// How text is set: [`Canvas::text`]'s x is its left end, centre or right end (`align`), y the
/// middle of its capitals.
#[derive(Clone, Copy, Debug)]
pub struct Type {
    /// Font size.
    pub size: f32,
    /// Colour.
    pub ink: Ink,
    /// 0 = starts at x, 0.5 = centred, 1 = ends at x.
    pub align: f32,
    /// Bold face.
    pub bold: bool,
    /// Rotated to read upwards.
    pub upwards: bool,
    /// White outline, for text on top of data.
    pub halo: bool,
    /// `_` and `^` make the letters and digits after them sub- and superscripts.
    pub math: bool,
}

impl Default for Type {
    fn default() -> Self {
        Type {
            size: 15.0,
            ink: Ink::BLACK,
            align: 0.5,
            bold: false,
            upwards: false,
            halo: false,
            math: false,
        }
    }
}

/// The page.
pub struct Canvas {
    pixels: Pixmap,
    /// Width and height in logical pixels.
    pub size: [f32; 2],
}

impl Canvas {
    /// A white page.
    pub fn new(width: u32, height: u32) -> Canvas {
        let real = |length: u32| (length as f32 * SCALE) as u32;
        let mut pixels =
            Pixmap::new(real(width), real(height)).expect("a page is neither empty nor gigantic");
        pixels.fill(Color::WHITE);
        Canvas {
            pixels,
            size: [width as f32, height as f32],
        }
    }

    /// The finished picture.
    pub fn finish(self) -> RgbImage {
        let width = self.pixels.width();
        let height = self.pixels.height();
        let rgb = self
            .pixels
            .data()
            .chunks_exact(4)
            .flat_map(|p| [p[0], p[1], p[2]])
            .collect();
        RgbImage::from_raw(width, height, rgb).expect("three bytes per pixel")
    }

    /// A line through `points`; those that are not finite are left out.
    pub fn line(&mut self, points: &[[f32; 2]], ink: Ink, width: f32) {
        let mut path = PathBuilder::new();
        for [x, y] in points.iter().filter(|p| p.iter().all(|v| v.is_finite())) {
            if path.is_empty() {
                path.move_to(*x, *y)
            } else {
                path.line_to(*x, *y)
            }
        }
        if let Some(path) = path.finish() {
            self.stroke(&path, ink, width, Transform::identity());
        }
    }

    /// A filled rectangle.
    pub fn bar(&mut self, [left, top]: [f32; 2], [width, height]: [f32; 2], ink: Ink) {
        if let Some(rect) = Rect::from_xywh(left, top, width, height) {
            self.fill(&PathBuilder::from_rect(rect), ink, Transform::identity());
        }
    }

    /// A marker of radius `r`; `edge` is the colour and width of its outline, if any.
    pub fn marker(
        &mut self,
        [x, y]: [f32; 2],
        shape: Shape,
        r: f32,
        fill: Ink,
        edge: Option<(Ink, f32)>,
    ) {
        let side = r * 0.9;
        let path = match shape {
            Shape::Disc => PathBuilder::from_circle(x, y, r),
            Shape::Square => Rect::from_xywh(x - side, y - side, 2.0 * side, 2.0 * side)
                .map(PathBuilder::from_rect),
        };
        let Some(path) = path else { return };
        self.fill(&path, fill, Transform::identity());
        if let Some((ink, width)) = edge {
            self.stroke(&path, ink, width, Transform::identity());
        }
    }

    /// Text.
    pub fn text(&mut self, [x, y]: [f32; 2], text: &str, style: Type) {
        let (path, width) = outline(text, style);
        let Some(path) = path else { return };
        let turn = if style.upwards { -90.0 } else { 0.0 };
        let place = Transform::from_translate(x, y).pre_rotate(turn);
        let place = place.pre_translate(-width * style.align, 0.36 * style.size);
        if style.halo {
            self.stroke(&path, Ink::WHITE.fade(0.9), 0.28 * style.size, place);
        }
        self.fill(&path, style.ink, place);
    }

    /// Draws a picture with its upper left corner at that place, at one real pixel per pixel,
    /// clipped to the page.
    pub fn picture(&mut self, [left, top]: [f32; 2], picture: &RgbImage) {
        let left = (left * SCALE) as u32;
        let top = (top * SCALE) as u32;
        let width = self.pixels.width();
        let height = self.pixels.height();
        let pixels = self.pixels.pixels_mut();
        for (x, y, pixel) in picture.enumerate_pixels() {
            let x = left + x;
            let y = top + y;
            let [red, green, blue] = pixel.0;
            if x < width && y < height {
                let opaque = ColorU8::from_rgba(red, green, blue, 255).premultiply();
                pixels[(y * width + x) as usize] = opaque;
            }
        }
    }

    fn fill(&mut self, path: &Path, ink: Ink, place: Transform) {
        let place = place.post_scale(SCALE, SCALE);
        self.pixels
            .fill_path(path, &ink.paint(), FillRule::Winding, place, None);
    }

    fn stroke(&mut self, path: &Path, ink: Ink, width: f32, place: Transform) {
        let stroke = Stroke {
            width,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Default::default()
        };
        self.pixels.stroke_path(
            path,
            &ink.paint(),
            &stroke,
            place.post_scale(SCALE, SCALE),
            None,
        );
    }
}

/// Width of `text` in that style.
pub fn text_width(text: &str, style: Type) -> f32 {
    outline(text, style).1
}

/// The glyphs of `text` from x = 0 on the baseline y = 0, and their width.
fn outline(text: &str, style: Type) -> (Option<Path>, f32) {
    let bytes = if style.bold {
        notosans::BOLD_TTF
    } else {
        notosans::REGULAR_TTF
    };
    let face = ttf_parser::Face::parse(bytes, 0).expect("the embedded font is whole");
    let full = style.size / f32::from(face.units_per_em());
    let mut pen = Pen {
        path: PathBuilder::new(),
        x: 0.0,
        y: 0.0,
        scale: full,
    };
    for c in text.chars() {
        match c {
            '_' if style.math => (pen.y, pen.scale) = (0.18 * style.size, 0.72 * full),
            '^' if style.math => (pen.y, pen.scale) = (-0.4 * style.size, 0.72 * full),
            _ => {
                if !(c.is_alphanumeric() || c == '−') {
                    (pen.y, pen.scale) = (0.0, full);
                }
                let glyph = face.glyph_index(c).unwrap_or_default();
                face.outline_glyph(glyph, &mut pen);
                pen.x += pen.scale * f32::from(face.glyph_hor_advance(glyph).unwrap_or(0));
            }
        }
    }
    (pen.path.finish(), pen.x)
}

/// Converts font outlines (y up, font units) to a path (y down, logical pixels).
struct Pen {
    path: PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl ttf_parser::OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (x1, y1) = self.at(x1, y1);
        let (x, y) = self.at(x, y);
        self.path.quad_to(x1, y1, x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (x1, y1) = self.at(x1, y1);
        let (x2, y2) = self.at(x2, y2);
        let (x, y) = self.at(x, y);
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }
    fn close(&mut self) {
        self.path.close();
    }
}
