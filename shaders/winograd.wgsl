//! Winograd's convolution of 3 x 3 taps and stride 1 in tiles of 4 x 4 outputs (Lavin & Gray 2016, F(4 x 4, 3 x 3)):
//!   y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ x B)] A    dx = B [(G w Gᵀ) ⊙ (A dy Aᵀ)] Bᵀ    dw = Gᵀ [(Bᵀ x B) ⊙ (A dy Aᵀ)] G
//! with a sum over channels (over tiles in dw) in ⊙, so that it is 36 products of matrices, made by others: a quarter of the
//! multiplications. A, B and G are those of shared/winograd_transforms.wgsl. A tile of y sees six by six pixels of x, and
//! of dy reaches as many of dx, which is the sum where these overlap.
//!   image            Bᵀ x B, x being zero outside of the image
//!   weight           G w Gᵀ
//!   outputs          Aᵀ s A + bias + residual of the products s
//!   inputs           B s Bᵀ + bias, the sum of all tiles
//!   gradient         A dy Aᵀ, and the tiles' sums, for the gradient of the bias
//!   weight_gradient  Gᵀ s G
//! Grid: one invocation per tile and channel, or per input and output channel. Squares are [36, tiles or c, channels].
#import winograd
#import ones

alias Row = mat2x3<f32>; // mat3x2 is not a plain matrix in HLSL

@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, h, w, channels], or a weight [3, 3, rows, channels]
@group(0) @binding(1) var<storage, read> squares: array<f32>; // [36, rows, channels]
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [channels]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // as x, or as squares
@group(0) @binding(4) var<storage, read_write> sums: array<f32>; // [tiles, channels]
@group(0) @binding(5) var<storage, read> residual: array<f32>; // [n, h, w, channels]

fn row_of(v0: f32, v1: f32, v2: f32, v3: f32, v4: f32, v5: f32) -> Row {
    return Row(v0, v1, v2, v3, v4, v5);
}

fn element0(row: Row) -> f32 {
    return row[0].x;
}

fn element1(row: Row) -> f32 {
    return row[0].y;
}

fn element2(row: Row) -> f32 {
    return row[0].z;
}

fn element3(row: Row) -> f32 {
    return row[1].x;
}

fn element4(row: Row) -> f32 {
    return row[1].y;
}

fn element5(row: Row) -> f32 {
    return row[1].z;
}

fn sum_of(row: Row) -> f32 {
    return dot(row[0] + row[1], vec3(1.0));
}

// Columns as rows.
fn turned(s: Square) -> Square {
    return Square(
        Row(s.r0[0].x, s.r1[0].x, s.r2[0].x, s.r3[0].x, s.r4[0].x, s.r5[0].x),
        Row(s.r0[0].y, s.r1[0].y, s.r2[0].y, s.r3[0].y, s.r4[0].y, s.r5[0].y),
        Row(s.r0[0].z, s.r1[0].z, s.r2[0].z, s.r3[0].z, s.r4[0].z, s.r5[0].z),
        Row(s.r0[1].x, s.r1[1].x, s.r2[1].x, s.r3[1].x, s.r4[1].x, s.r5[1].x),
        Row(s.r0[1].y, s.r1[1].y, s.r2[1].y, s.r3[1].y, s.r4[1].y, s.r5[1].y),
        Row(s.r0[1].z, s.r1[1].z, s.r2[1].z, s.r3[1].z, s.r4[1].z, s.r5[1].z),
    );
}
