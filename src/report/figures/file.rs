//! A picture or an animation, with its provenance, as one PNG file.

use std::path::Path;

use image::RgbImage;

use crate::error::{Error, Result};
use crate::report::file;
use crate::report::product::{self, Form, PROGRAM};

/// Milliseconds per frame of an animation, and of its last frame.
const FRAME: u16 = 400;
const LAST_FRAME: u16 = 2000;

/// Writes `picture` to `path` as PNG (300 dots per inch), atomically, with `metadata` as text
/// chunks.
///
/// # Errors
/// [`Error::Usage`] if a file is there that this program did not write, [`Error::Io`] naming `path`
/// if it cannot be written, or if a keyword is not 1–79 Latin-1 characters.
pub fn save(path: &Path, picture: &RgbImage, metadata: &[(&str, String)]) -> Result<()> {
    save_animation(path, std::slice::from_ref(picture), metadata)
}

/// Writes `frames` of one size to `path` as [`save`] does; several become an animated PNG that
/// loops forever.
///
/// # Errors
/// As [`save`].
pub fn save_animation(path: &Path, frames: &[RgbImage], metadata: &[(&str, String)]) -> Result<()> {
    let png = encode(frames, metadata).map_err(|e| Error::io(path)(e.into()))?;
    product::write(path, Form::Picture, &png)
}

/// Writes `picture` into a run directory, whose files training may replace without a check.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn save_of_run(path: &Path, picture: &RgbImage) -> Result<()> {
    let png = encode(std::slice::from_ref(picture), &[]).map_err(|e| Error::io(path)(e.into()))?;
    file::write(path, &png)
}

fn encode(frames: &[RgbImage], metadata: &[(&str, String)]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let (width, height) = frames.first().map_or((0, 0), RgbImage::dimensions);
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    if frames.len() > 1 {
        encoder.set_animated(frames.len() as u32, 0)?;
        encoder.set_frame_delay(FRAME, 1000)?;
    }
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: 11_811,
        yppu: 11_811,
        unit: png::Unit::Meter,
    }));
    let names_it = metadata.iter().any(|(keyword, _)| *keyword == "Software");
    let program = (!names_it).then(|| ("Software", PROGRAM.to_string()));
    for (keyword, text) in program.iter().chain(metadata) {
        let keyword = keyword.to_string();
        let text = text.clone();
        // Every tool reads tEXt, but it holds Latin-1 only.
        if text.chars().all(|c| u32::from(c) < 256) {
            encoder.add_text_chunk(keyword, text)?;
        } else {
            encoder.add_itxt_chunk(keyword, text)?;
        }
    }
    let mut writer = encoder.write_header()?;
    for (i, frame) in frames.iter().enumerate() {
        if frames.len() > 1 && i + 1 == frames.len() {
            writer.set_frame_delay(LAST_FRAME, 1000)?;
        }
        writer.write_image_data(frame.as_raw())?;
    }
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::BufReader;

    use super::*;

    fn metadata() -> [(&'static str, String); 3] {
        [
            ("Software", "dbvq-wgpu".into()),
            ("seed", "7".into()),
            ("sampler", "ancestral, η = 0.1".into()),
        ]
    }

    #[test]
    fn what_made_a_picture_can_be_read_back() -> std::result::Result<(), Box<dyn std::error::Error>>
    {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("picture.png");
        let picture = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 255]));
        save(&path, &picture, &metadata())?;
        let reader = png::Decoder::new(BufReader::new(File::open(&path)?)).read_info()?;
        let latin = &reader.info().uncompressed_latin1_text;
        let latin: Vec<(&str, &str)> = latin
            .iter()
            .map(|c| (c.keyword.as_str(), c.text.as_str()))
            .collect();
        assert_eq!(latin, [("Software", "dbvq-wgpu"), ("seed", "7")]);
        let utf8 = &reader.info().utf8_text[0];
        assert_eq!(
            (utf8.keyword.as_str(), utf8.get_text()?),
            ("sampler", "ancestral, η = 0.1".to_string())
        );
        assert_eq!(image::open(&path)?.into_rgb8(), picture);
        assert_eq!(
            std::fs::read_dir(directory.path())?.count(),
            1,
            "no temporary file stays"
        );
        Ok(())
    }

    #[test]
    fn frames_become_an_animation() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("animation.png");
        let frames = [10, 20, 30].map(|v| RgbImage::from_pixel(3, 2, image::Rgb([v; 3])));
        save_animation(&path, &frames, &metadata())?;
        let mut reader = png::Decoder::new(BufReader::new(File::open(&path)?)).read_info()?;
        let control = reader.info().animation_control.expect("it is animated");
        assert_eq!((control.num_frames, control.num_plays), (3, 0));
        let mut bytes = vec![0; 18];
        for frame in &frames {
            reader.next_frame(&mut bytes)?;
            assert_eq!(&bytes, frame.as_raw());
        }
        Ok(())
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        let path = Path::new("no such directory/picture.png");
        let error = save(path, &RgbImage::new(1, 1), &[]).expect_err("the directory is missing");
        assert!(
            matches!(&error, Error::Io { path: named, .. } if named == path),
            "{error}"
        );
    }

    #[test]
    fn a_keyword_that_png_cannot_hold_is_an_error() {
        let path = std::env::temp_dir().join("never written.png");
        let error = save(&path, &RgbImage::new(1, 1), &[("", "empty keyword".into())])
            .expect_err("no keyword");
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(!path.exists());
    }
}
