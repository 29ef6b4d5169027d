//! Images in labelled rows, for comparing samples as in the paper's figures.

use image::RgbImage;

use super::plot::{Canvas, Ink, SCALE, Type, text_width};

const MARGIN: f32 = 14.0;
/// Between two images.
const GAP: f32 = 2.0;
/// Between two groups of columns, and above a row that is set apart.
const APART: f32 = 8.0;
/// Between two blocks.
const BLOCKS: f32 = 24.0;
/// Height of a block's title, and of the names of its columns.
const TITLE: f32 = 30.0;
const HEAD: f32 = 22.0;
const NAME: Type = Type {
    size: 13.0,
    ink: Ink::BLACK,
    align: 1.0,
    bold: false,
    upwards: false,
    halo: false,
    math: false,
};

/// A row of images of one size.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Label to the left.
    pub name: String,
    /// Images from left to right.
    pub cells: Vec<RgbImage>,
    /// Whether there is a gap above it.
    pub apart: bool,
}

/// Rows under one title.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Title above the rows; empty for none.
    pub title: String,
    /// Groups of columns: (number of columns, name); empty for one group without a name.
    pub heads: Vec<(usize, String)>,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl Block {
    /// A title over `cells` in rows of `columns`.
    pub fn grid(title: &str, cells: &[RgbImage], columns: usize) -> Block {
        let rows = cells.chunks(columns.max(1)).map(|cells| Row {
            cells: cells.to_vec(),
            ..Row::default()
        });
        Block {
            title: title.into(),
            heads: Vec::new(),
            rows: rows.collect(),
        }
    }

    /// Width and height of a cell.
    fn cell(&self) -> [f32; 2] {
        let cell = self.rows.iter().flat_map(|row| &row.cells).next();
        cell.map_or([0.0; 2], |c| {
            [c.width(), c.height()].map(|side| side as f32 / SCALE + GAP)
        })
    }

    /// Width of the labels left of the images.
    fn names(&self) -> f32 {
        let widest = self
            .rows
            .iter()
            .map(|row| text_width(&row.name, NAME))
            .fold(0.0, f32::max);
        if widest > 0.0 { widest + 10.0 } else { 0.0 }
    }

    /// Height of the title and the names of columns.
    fn top(&self) -> f32 {
        let named = self.heads.iter().any(|(_, name)| !name.is_empty());
        f32::from(u8::from(!self.title.is_empty())) * TITLE + f32::from(u8::from(named)) * HEAD
    }

    /// Offset of column `i` from the left of the first one.
    fn column(&self, i: usize) -> f32 {
        let mut end = 0;
        let before = |(columns, _): &&(usize, String)| {
            end += columns;
            end <= i
        };
        let groups = self.heads.iter().take_while(before).count();
        i as f32 * self.cell()[0] + groups as f32 * APART
    }

    fn size(&self) -> [f32; 2] {
        let columns = self
            .rows
            .iter()
            .map(|row| row.cells.len())
            .max()
            .unwrap_or(0);
        let pictures = if columns == 0 {
            0.0
        } else {
            self.column(columns - 1) + self.cell()[0] - GAP
        };
        let width = (self.names() + pictures).max(text_width(&self.title, bold()));
        let apart = self.rows.iter().filter(|row| row.apart).count() as f32 * APART;
        [
            width,
            self.top() + self.rows.len() as f32 * self.cell()[1] + apart,
        ]
    }

    fn draw(&self, canvas: &mut Canvas, [left, top]: [f32; 2]) {
        let names = self.names();
        let [width, height] = self.cell();
        if !self.title.is_empty() {
            canvas.text(
                [left, top + TITLE / 2.0 - 3.0],
                &self.title,
                Type {
                    align: 0.0,
                    ..bold()
                },
            );
        }
        let mut y = top + self.top();
        let mut first = 0;
        for (columns, name) in &self.heads {
            let ends = [
                self.column(first),
                self.column(first + columns - 1) + width - GAP,
            ];
            canvas.text(
                [left + names + (ends[0] + ends[1]) / 2.0, y - 11.0],
                name,
                Type { align: 0.5, ..NAME },
            );
            first += columns;
        }
        for row in &self.rows {
            y += f32::from(u8::from(row.apart)) * APART;
            canvas.text([left + names - 10.0, y + height / 2.0], &row.name, NAME);
            for (i, cell) in row.cells.iter().enumerate() {
                canvas.picture([left + names + self.column(i), y], cell);
            }
            y += height;
        }
    }
}

fn bold() -> Type {
    Type {
        size: 16.0,
        bold: true,
        ..Type::default()
    }
}

/// Draws the blocks below one another, or side by side if `across`.
pub fn gallery(blocks: &[Block], across: bool) -> RgbImage {
    let sizes: Vec<[f32; 2]> = blocks.iter().map(Block::size).collect();
    let between = BLOCKS * blocks.len().saturating_sub(1) as f32;
    let [along, other] = if across { [0, 1] } else { [1, 0] };
    let mut page = [2.0 * MARGIN; 2];
    page[along] += sizes.iter().map(|size| size[along]).sum::<f32>() + between;
    page[other] += sizes.iter().map(|size| size[other]).fold(1.0, f32::max);
    let mut canvas = Canvas::new(page[0].ceil() as u32, page[1].ceil() as u32);
    let mut at = [MARGIN; 2];
    for (block, size) in blocks.iter().zip(&sizes) {
        block.draw(&mut canvas, at);
        at[along] += size[along] + BLOCKS;
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(count: usize) -> Vec<RgbImage> {
        (0..count)
            .map(|i| RgbImage::from_pixel(8, 8, image::Rgb([i as u8 + 1, 0, 0])))
            .collect()
    }

    #[test]
    fn every_picture_is_drawn_once_and_whole() {
        let rows = vec![
            Row {
                name: "ours".into(),
                cells: cells(4),
                apart: false,
            },
            Row {
                name: "PixelCNN".into(),
                cells: cells(4),
                apart: true,
            },
        ];
        let heads = vec![
            (1, "masked".into()),
            (2, "samples".into()),
            (1, "VQ-VAE".into()),
        ];
        let block = Block {
            title: "Title".into(),
            heads,
            rows,
        };
        for across in [false, true] {
            let page = gallery(&[block.clone(), Block::grid("", &cells(3), 2)], across);
            for i in 1..=4u8 {
                let times = if i == 4 { 2 } else { 3 };
                let pixels = page.pixels().filter(|p| p.0 == [i, 0, 0]).count();
                assert_eq!(pixels, times * 64, "picture {i}, across: {across}");
            }
        }
    }

    #[test]
    fn groups_of_columns_stand_apart() {
        let heads = vec![(1, String::new()), (2, String::new())];
        let block = Block {
            heads,
            ..Block::grid("", &cells(3), 3)
        };
        assert_eq!(
            [0, 1, 2].map(|i| block.column(i)),
            [0.0, 6.0 + APART, 12.0 + APART]
        );
        gallery(&[], true);
        gallery(&[Block::default()], false);
    }
}
