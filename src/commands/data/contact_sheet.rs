//! A sheet with some images of every class of a data set.

use image::RgbImage;
use image::imageops::FilterType;

use crate::data::ImageSet;
use crate::error::Result;
use crate::number::thousands;
use crate::report::figures::plot::{Canvas, Ink, SCALE, Type, text_width};

/// Approximate size of an image's longer side on the sheet, pixels: small images are magnified by
/// integer factors.
const CELL: usize = 96;
/// Longer sides above this are shrunk to it.
const LARGEST: usize = 128;
/// Maximum number of classes on a sheet.
const CLASSES: usize = 120;
/// Rows for a set with one class.
const ROWS: usize = 10;
const MARGIN: f32 = 20.0;
const GAP: f32 = 3.0;
/// Space between a class's name and its images.
const SPACE: f32 = 12.0;
/// Space between two blocks of classes.
const APART: f32 = 28.0;
const HEAD: f32 = 52.0;
const NAME: Type = Type {
    size: 13.0,
    ink: Ink::BLACK,
    align: 1.0,
    bold: false,
    upwards: false,
    halo: false,
    math: false,
};
const COUNT: Type = Type {
    size: 10.0,
    ink: Ink::GREY,
    ..NAME
};

/// Draws a row for each class of `set`: its name, its number of images, and some of them, evenly
/// spaced in the set's order.
///
/// Many classes are arranged in several blocks side by side; classes after the 120th are left out.
/// A set with one class gets ten rows.
///
/// # Errors
/// Those of [`ImageSet::image`].
pub fn contact_sheet(set: &ImageSet) -> Result<RgbImage> {
    let rows = rows(set);
    let (blocks, columns) = match rows.len() {
        0..=16 => (1, 12),
        17..=40 => (2, 8),
        _ => (3, 6),
    };
    let style = |name: &str, style| text_width(name, style);
    let names = rows
        .iter()
        .map(|row| style(&row.name, NAME).max(style(&row.count, COUNT)))
        .fold(0.0, f32::max);
    let [height, width] = cell([set.height, set.width]).map(|side| side as f32 / SCALE + GAP);
    // Rows without names start at the margin.
    let names = if names > 0.0 { names + SPACE } else { 0.0 };
    let block = [
        names + columns as f32 * width + APART,
        rows.len().div_ceil(blocks) as f32 * height,
    ];
    let title = title(set);
    let wide = (blocks as f32 * block[0] - APART).max(text_width(
        &title,
        Type {
            bold: true,
            ..Type::default()
        },
    ));
    let page = [2.0 * MARGIN + wide, HEAD + block[1] + MARGIN].map(|length| length.ceil() as u32);
    let mut canvas = Canvas::new(page[0], page[1]);
    canvas.text(
        [MARGIN, HEAD / 2.0],
        &title,
        Type {
            align: 0.0,
            bold: true,
            ..Type::default()
        },
    );
    for (i, row) in rows.iter().enumerate() {
        let in_block = i / rows.len().div_ceil(blocks);
        let down = i % rows.len().div_ceil(blocks);
        let left = MARGIN + in_block as f32 * block[0] + names;
        let name = left - SPACE;
        let top = HEAD + down as f32 * height;
        let middle = HEAD + (down as f32 + 0.5) * height - GAP;
        canvas.text([name, middle - 7.0], &row.name, NAME);
        canvas.text([name, middle + 8.0], &row.count, COUNT);
        for (j, &picture) in spread(&row.pictures, columns).iter().enumerate() {
            canvas.picture([left + j as f32 * width, top], &scaled(set, picture)?);
        }
    }
    Ok(canvas.finish())
}

fn title(set: &ImageSet) -> String {
    let height = set.height;
    let width = set.width;
    let classes = set.classes.len();
    let shown = if classes > CLASSES {
        format!(", {CLASSES} of them shown")
    } else {
        String::new()
    };
    let plural = if classes == 1 { "class" } else { "classes" };
    format!(
        "{}: {} images of {width}×{height}, {classes} {plural}{shown}",
        set.name,
        thousands(set.len())
    )
}

/// A row of the sheet: its labels, and the images to choose from.
struct Row {
    name: String,
    count: String,
    pictures: Vec<usize>,
}

fn rows(set: &ImageSet) -> Vec<Row> {
    let shown = set.classes.len().min(CLASSES);
    let mut pictures = vec![Vec::new(); shown];
    for (i, &label) in set
        .labels
        .iter()
        .enumerate()
        .filter(|(_, label)| (**label as usize) < shown)
    {
        pictures[label as usize].push(i);
    }
    if let [all] = &pictures[..] {
        let chosen = spread(all, 12 * ROWS);
        let row = |pictures: &[usize]| Row {
            name: String::new(),
            count: String::new(),
            pictures: pictures.into(),
        };
        return chosen.chunks(12).map(row).collect();
    }
    let row = |(name, pictures): (&String, Vec<usize>)| Row {
        name: shortened(name),
        count: thousands(pictures.len()),
        pictures,
    };
    set.classes.iter().zip(pictures).map(row).collect()
}

fn shortened(name: &str) -> String {
    const MOST: usize = 24;
    if name.chars().count() <= MOST {
        return name.into();
    }
    name.chars().take(MOST - 1).chain(['…']).collect()
}

/// At most `count` elements of `list`, evenly spaced.
fn spread(list: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(list.len());
    (0..count).map(|j| list[j * list.len() / count]).collect()
}

/// The size on the sheet, [height, width] in pixels, of images of `size`.
fn cell(size: [usize; 2]) -> [usize; 2] {
    let longer = size[0].max(size[1]).max(1);
    match longer {
        0..=LARGEST => size.map(|side| side * ((CELL + longer / 2) / longer).max(1)),
        _ => size.map(|side| (side * LARGEST / longer).max(1)),
    }
}

fn scaled(set: &ImageSet, picture: usize) -> Result<RgbImage> {
    let [height, width] = cell([set.height, set.width]);
    let bytes = set.image(picture)?.into_owned();
    let picture = RgbImage::from_raw(set.width as u32, set.height as u32, bytes)
        .expect("three bytes per pixel");
    let filter = if width > set.width {
        FilterType::Nearest
    } else {
        FilterType::Triangle
    };
    Ok(image::imageops::resize(
        &picture,
        width as u32,
        height as u32,
        filter,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(size: [usize; 2], labels: Vec<u32>, classes: usize) -> ImageSet {
        let images = vec![200; labels.len() * size[0] * size[1] * 3];
        let classes = (0..classes).map(|c| format!("class {c}")).collect();
        ImageSet::from_pixels("test", size, images, labels, classes)
    }

    #[test]
    fn small_pictures_are_magnified_and_large_ones_shrunk() {
        assert_eq!(
            [[32, 32], [84, 84], [64, 64], [1, 1]].map(cell),
            [[96, 96], [84, 84], [128, 128], [96, 96]]
        );
        assert_eq!(
            [[512, 256], [128, 128], [1, 4096]].map(cell),
            [[128, 64], [128, 128], [1, 128]]
        );
    }

    #[test]
    fn any_set_has_a_sheet() {
        for classes in [1, 2, 17, 64, 130] {
            let labels = (0..200).map(|i| i % classes).collect();
            let sheet = contact_sheet(&set([2, 3], labels, classes as usize)).expect("in memory");
            assert!(
                sheet.width() > 500 && sheet.pixels().any(|p| p.0 == [200; 3]),
                "{classes}"
            );
        }
        contact_sheet(&set([2, 3], Vec::new(), 3)).expect("in memory");
        contact_sheet(&set([2, 3], Vec::new(), 1)).expect("in memory");
        contact_sheet(&set([2, 3], Vec::new(), 0)).expect("in memory");
        contact_sheet(&set([300, 3], vec![1], 3)).expect("in memory");
    }

    #[test]
    fn samples_come_from_the_whole_order() {
        assert_eq!(spread(&[5, 6, 7, 8, 9, 10], 3), [5, 7, 9]);
        assert_eq!(spread(&[5, 6], 3), [5, 6]);
        assert_eq!(
            shortened("a name of many more letters than fit"),
            "a name of many more let…"
        );
    }
}
