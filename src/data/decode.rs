//! Decodes an image file, whose format is detected from its content, to 8-bit RGB.
//!
//! Grey becomes RGB, transparency is composited on white, 16 bits are rounded to 8, the EXIF
//! orientation is applied, and of an animation the first frame is taken. A file that claims to be
//! gigantic is refused before its pixels are decoded.

use std::io::Cursor;
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::jpeg;
use crate::error::catch_quietly;

/// Extensions of image files, case-insensitive.
pub const EXTENSIONS: [&str; 10] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "tif", "tiff",
];
/// Supported formats, for messages.
pub(super) const FORMATS: &str = "PNG, JPEG, WebP, GIF, BMP or TIFF";
/// Most pixels to a side.
const SIDE: u32 = 16_384;
/// Most bytes of a file, and of an image while it is decoded.
const BYTES: u64 = 256 << 20;

/// How an image is resized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// The whole image, scaled without keeping its aspect ratio.
    #[default]
    Squash,
    /// The largest centred crop of the target's aspect ratio, scaled.
    Crop,
}

/// Whether `path` has the extension of an image.
pub fn is_picture(path: &Path) -> bool {
    let extension = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

/// The image in `path`, resized to the given size ([height, width]), if any.
///
/// # Errors
/// What is wrong with the file, without its name.
pub fn picture(path: &Path, size: Option<([usize; 2], Fit)>) -> Result<RgbImage, String> {
    let picture = guarded(path)?;
    Ok(match size {
        Some((size, fit)) => fitted(picture, size, fit),
        None => picture,
    })
}

/// The image in `path` at `side` × `side`, and its original [height, width] if that differs.
///
/// # Errors
/// What is wrong with the file, without its name.
pub fn square(
    path: &Path,
    side: usize,
    fit: Fit,
) -> Result<(RgbImage, Option<[usize; 2]>), String> {
    let picture = guarded(path)?;
    let was = size_of(&picture);
    let changed = (was != [side, side]).then_some(was);
    Ok((fitted(picture, [side, side], fit), changed))
}

/// `picture` at `size`, [height, width].
pub(super) fn fitted(picture: RgbImage, size: [usize; 2], fit: Fit) -> RgbImage {
    let [height, width] = size_of(&picture);
    if [height, width] == size {
        return picture;
    }
    match fit {
        Fit::Squash => resized(&picture, size),
        Fit::Crop => {
            // The largest height and width in the ratio of `size`.
            let rows = height.min((width * size[0] / size[1]).max(1));
            let columns = width.min((height * size[1] / size[0]).max(1));
            let [top, left] =
                [(height - rows) / 2, (width - columns) / 2].map(|length| length as u32);
            let middle =
                image::imageops::crop_imm(&picture, left, top, columns as u32, rows as u32)
                    .to_image();
            if size_of(&middle) == size {
                middle
            } else {
                resized(&middle, size)
            }
        }
    }
}

/// Averages over source pixels when shrinking; no ringing.
fn resized(picture: &RgbImage, [height, width]: [usize; 2]) -> RgbImage {
    image::imageops::resize(picture, width as u32, height as u32, FilterType::Triangle)
}

/// Catches panics: a bug in a decoder must cost one file, not the run.
fn guarded(path: &Path) -> Result<RgbImage, String> {
    let decoded = catch_quietly(|| decode(path));
    decoded.unwrap_or_else(|_| Err("is damaged: the decoder gave up".into()))
}

/// [height, width].
pub fn size_of(picture: &RgbImage) -> [usize; 2] {
    [picture.height() as usize, picture.width() as usize]
}

fn decode(path: &Path) -> Result<RgbImage, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length == 0 || length > BYTES {
        return Err(if length == 0 {
            "is empty".into()
        } else {
            format!("is over {} MiB", BYTES >> 20)
        });
    }
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let foreign = format!("is damaged or not {FORMATS}");
    // Some decoders end their message with a newline.
    let broken = |e: image::ImageError| format!("{foreign} ({})", e.to_string().trim());
    let mut reader = ImageReader::new(Cursor::new(&bytes))
        .with_guessed_format()
        .map_err(|e| e.to_string())?;
    let format = reader.format();
    let mut limits = Limits::default();
    limits.max_alloc = Some(BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if width > SIDE || height > SIDE || decoder.total_bytes() > BYTES {
        let most = format!("{SIDE} pixels per side and {} MiB", BYTES >> 20);
        return Err(format!(
            "has {width}×{height} pixels, over the limit of {most}; scale it down"
        ));
    }
    // DEFLATE expands a byte to at most 1,032, and a palette bit becomes four bytes: a file that
    // claims more would only waste memory.
    if format == Some(ImageFormat::Png) && decoder.total_bytes() > 32 * 1032 * length {
        return Err(format!(
            "is damaged: {length} bytes cannot hold {width}×{height} pixels"
        ));
    }
    if format == Some(ImageFormat::Jpeg) {
        jpeg::check(&bytes)?;
    }
    let orientation = decoder.orientation().map_err(broken)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    Ok(if image.color().has_alpha() {
        on_white(&image)
    } else {
        image.into_rgb8()
    })
}

fn on_white(image: &DynamicImage) -> RgbImage {
    let rgba = image.to_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0;
        let lay = |c: u8| {
            ((u32::from(c) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 127) / 255) as u8
        };
        image::Rgb([red, green, blue].map(lay))
    })
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, Rgba, RgbaImage};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    /// `image` written and read back.
    fn through(name: &str, image: impl Into<DynamicImage>) -> Result<RgbImage, String> {
        let dir = folder();
        let path = dir.path().join(name);
        image.into().save(&path).expect("a temporary file");
        picture(&path, None)
    }

    #[test]
    fn every_format_and_colour_becomes_rgb() {
        let rgb = RgbImage::from_fn(5, 4, |x, y| Rgb([x as u8 * 40, y as u8 * 60, 128]));
        for name in ["a.png", "a.PNG", "a.webp", "a.bmp", "a.TIF", "a.gif"] {
            assert!(is_picture(Path::new(name)), "{name}");
            assert_eq!(through(name, rgb.clone()).expect(name), rgb, "{name}");
        }
        let jpeg = through("a.jpeg", rgb).expect("a JPEG");
        assert_eq!(size_of(&jpeg), [4, 5]);
        let grey = through("g.jpg", GrayImage::from_pixel(8, 8, Luma([200]))).expect("grey");
        assert!(grey.pixels().all(|p| p.0 == [200; 3]), "{grey:?}");
        let deep = image::ImageBuffer::<Luma<u16>, _>::from_pixel(2, 2, Luma([0x8000u16]));
        assert_eq!(
            through("deep.png", deep)
                .expect("16 bits")
                .get_pixel(1, 1)
                .0,
            [128; 3]
        );
    }

    #[test]
    fn what_is_transparent_is_laid_on_white() {
        let rgba = RgbaImage::from_fn(3, 1, |x, _| Rgba([100, 0, 255, [0, 128, 255][x as usize]]));
        let laid = through("a.png", rgba).expect("RGBA");
        assert_eq!(laid.as_raw(), &[255, 255, 255, 177, 127, 255, 100, 0, 255]);
    }

    #[test]
    fn the_content_decides_not_the_name() {
        let dir = folder();
        let path = dir.path().join("a.jpg");
        RgbImage::new(2, 2)
            .save_with_format(&path, ImageFormat::Png)
            .expect("a temporary file");
        assert!(picture(&path, None).is_ok());
    }

    #[test]
    fn pictures_are_squashed_only_when_asked() {
        let dir = folder();
        let path = dir.path().join("a.png");
        RgbImage::from_fn(8, 2, |x, _| Rgb([if x < 4 { 0 } else { 200 }; 3]))
            .save(&path)
            .expect("a temporary file");
        assert_eq!(size_of(&picture(&path, None).expect("as it is")), [2, 8]);
        let squashed = picture(&path, Some(([2, 2], Fit::Squash))).expect("squashed");
        assert_eq!(size_of(&squashed), [2, 2]);
        assert!(
            squashed.get_pixel(0, 0).0[0] < 30 && squashed.get_pixel(1, 1).0[0] > 170,
            "{squashed:?}"
        );
    }

    #[test]
    fn the_middle_square_is_scaled() {
        let dir = folder();
        let path = dir.path().join("a.png");
        let bands = RgbImage::from_fn(12, 4, |x, _| {
            Rgb([if (4..8).contains(&x) { 200 } else { 0 }; 3])
        });
        bands.save(&path).expect("a temporary file");
        let (middle, was) = square(&path, 2, Fit::Crop).expect("a picture");
        assert_eq!(
            (middle, was),
            (RgbImage::from_pixel(2, 2, Rgb([200; 3])), Some([4, 12]))
        );
        RgbImage::new(3, 3).save(&path).expect("a temporary file");
        assert_eq!(
            square(&path, 3, Fit::Crop).expect("as it is"),
            (RgbImage::new(3, 3), None)
        );
    }

    #[test]
    fn damaged_files_say_what_is_wrong() {
        let dir = folder();
        let path = dir.path().join("a.jpg");
        let noise = RgbImage::from_fn(64, 64, |x, y| {
            Rgb([(x * y * 37) as u8, (x * 91 + y) as u8, y as u8])
        });
        for name in ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp", "a.tif"] {
            noise.save(dir.path().join(name)).expect("a temporary file");
            let bytes = std::fs::read(dir.path().join(name)).expect("it was written");
            for share in [0, 1, 3, 9] {
                std::fs::write(&path, &bytes[..bytes.len() * share / 10])
                    .expect("a temporary file");
                let said = picture(&path, None).expect_err("refused");
                assert!(
                    ["empty", "damaged", "cut off"]
                        .iter()
                        .any(|word| said.contains(word)),
                    "{name}: {said}"
                );
            }
            std::fs::write(&path, &bytes).expect("a temporary file");
            assert!(picture(&path, None).is_ok(), "{name}");
        }
        std::fs::write(&path, b"RIFF, or whatever").expect("a temporary file");
        assert!(
            picture(&path, None)
                .expect_err("refused")
                .contains("not PNG, JPEG")
        );
    }

    #[test]
    fn any_bytes_end_in_a_picture_or_a_word() {
        let dir = folder();
        let path = dir.path().join("a.png");
        let stream = crate::philox::Stream {
            seed: 5,
            step: 0,
            stream: 0,
            first: 0,
        };
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            RgbImage::from_fn(24, 16, |x, y| Rgb([x as u8 * 9, y as u8, 7]))
                .save_with_format(&path, format)
                .expect("saved");
            let whole = std::fs::read(&path).expect("it was written");
            for round in 0..100 {
                let mut bytes = whole.clone();
                for i in 0..3 {
                    let at = stream.below(8 * round + i, whole.len() as u32);
                    bytes[at as usize] = stream.bits(8 * round + i + 4) as u8;
                }
                std::fs::write(&path, &bytes).expect("a temporary file");
                assert!(
                    picture(&path, Some(([4, 4], Fit::Squash)))
                        .is_ok_and(|p| size_of(&p) == [4, 4])
                        || picture(&path, None).is_err()
                );
            }
        }
    }

    #[test]
    fn a_jpeg_cut_off_with_an_end_marker_is_damaged() {
        let dir = folder();
        let path = dir.path().join("a.jpg");
        let noise = RgbImage::from_fn(128, 128, |x, y| {
            Rgb([(x * y * 37) as u8, (x * 91 + y) as u8, y as u8])
        });
        noise.save(&path).expect("a temporary file");
        let whole = std::fs::read(&path).expect("it was written");
        for percent in [20, 40, 50, 66, 80, 95, 99] {
            let mut bytes = whole[..whole.len() * percent / 100].to_vec();
            bytes.extend([0xFF, 0xD9]);
            std::fs::write(&path, &bytes).expect("a temporary file");
            let said = picture(&path, None).map(drop).expect_err("refused");
            assert!(said.contains("damaged"), "{percent} %: {said}");
        }
        // Bytes after the end marker do no harm.
        std::fs::write(&path, [&whole[..], b"a maker's note"].concat()).expect("a temporary file");
        assert!(picture(&path, None).is_ok());
    }

    #[test]
    fn crops_keep_the_shape_of_things() {
        let picture = RgbImage::from_fn(12, 6, |x, _| {
            Rgb([if (4..8).contains(&x) { 200 } else { 0 }; 3])
        });
        assert_eq!(size_of(&fitted(picture.clone(), [6, 4], Fit::Crop)), [6, 4]);
        assert_eq!(
            fitted(picture.clone(), [6, 4], Fit::Crop),
            RgbImage::from_pixel(4, 6, Rgb([200; 3]))
        );
        assert_eq!(
            size_of(&fitted(picture.clone(), [3, 12], Fit::Crop)),
            [3, 12]
        );
        assert_eq!(fitted(picture.clone(), [6, 12], Fit::Crop), picture);
        assert_eq!(size_of(&fitted(picture, [1, 1], Fit::Squash)), [1, 1]);
        assert_eq!(
            size_of(&fitted(RgbImage::new(1, 9), [4, 1], Fit::Crop)),
            [4, 1]
        );
    }

    #[test]
    fn photographs_are_turned_upright() {
        let dir = folder();
        let path = dir.path().join("a.jpg");
        let halves = RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 0 } else { 255 }; 3]));
        halves.save(&path).expect("a temporary file");
        let mut bytes = std::fs::read(&path).expect("it was written");
        // EXIF, big-endian, one entry: orientation (0x112) is a short, 6: turn it clockwise.
        let exif = b"\xFF\xE1\0\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        bytes.splice(2..2, exif.iter().copied());
        std::fs::write(&path, &bytes).expect("a temporary file");
        let turned = picture(&path, None).expect("a photograph");
        assert_eq!(size_of(&turned), [32, 16]);
        assert!(
            turned.get_pixel(8, 2).0[0] < 20 && turned.get_pixel(8, 30).0[0] > 235,
            "{turned:?}"
        );
    }

    /// PNGs that claim up to 60,000 × 60,000 pixels, with valid checksums.
    #[test]
    fn a_bomb_is_refused_by_its_size() {
        let dir = folder();
        let path = dir.path().join("bomb.png");
        for (width, height) in [
            (60_000, 60_000),
            (16_385, 1),
            (16_000, 16_000),
            (8_000, 8_000),
        ] {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, width, height);
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header().expect("a header");
            writer
                .write_chunk(png::chunk::IDAT, &[0x78, 0x9C])
                .expect("a beginning of pixels");
            drop(writer);
            std::fs::write(&path, &bytes).expect("a temporary file");
            let said = picture(&path, None).expect_err("refused");
            assert!(
                said.contains(&format!("{width}×{height}"))
                    && (width == 8_000) != said.contains("16384"),
                "{said}"
            );
        }
    }
}
