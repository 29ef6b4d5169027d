//! A record of CIFAR-10's batches: a label, then three planes of pixels.

/// Pixels to a side.
pub const SIDE: usize = 32;

/// Bytes of a record.
pub const RECORD: usize = 1 + PIXELS;

pub(crate) const PIXELS: usize = 3 * SIDE * SIDE;

/// Converts a record's planes [3, 32, 32] to pixels [32, 32, 3].
pub(in crate::data) fn interleaved(planes: &[u8]) -> Vec<u8> {
    let mut pixels = vec![0; PIXELS];
    for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        pixel.copy_from_slice(&[
            planes[i],
            planes[i + SIDE * SIDE],
            planes[i + 2 * SIDE * SIDE],
        ]);
    }
    pixels
}
