//! winograd.wgsl for CPU drivers that load and store lane by lane, 64 bits as fast as 32: two channels an invocation.
#import winograd
#import pairs

alias Row = mat3x4<f32>; // of both channels

@group(0) @binding(0) var<storage, read> x: array<u64>; // [n, h, w, channels / 2], or a weight [3, 3, rows, channels / 2]
@group(0) @binding(1) var<storage, read> squares: array<u64>; // [36, rows, channels / 2]
@group(0) @binding(2) var<storage, read> bias: array<u64>; // [channels / 2]
@group(0) @binding(3) var<storage, read_write> y: array<u64>; // as x, or as squares
@group(0) @binding(4) var<storage, read_write> sums: array<u64>; // [tiles, channels / 2]
@group(0) @binding(5) var<storage, read> residual: array<u64>; // [n, h, w, channels / 2]

fn row_of(v0: u64, v1: u64, v2: u64, v3: u64, v4: u64, v5: u64) -> Row {
    return Row(vec4(values(v0), values(v1)), vec4(values(v2), values(v3)), vec4(values(v4), values(v5)));
}

fn element0(row: Row) -> u64 {
    return element(row[0].xy);
}

fn element1(row: Row) -> u64 {
    return element(row[0].zw);
}

fn element2(row: Row) -> u64 {
    return element(row[1].xy);
}

fn element3(row: Row) -> u64 {
    return element(row[1].zw);
}

fn element4(row: Row) -> u64 {
    return element(row[2].xy);
}

fn element5(row: Row) -> u64 {
    return element(row[2].zw);
}

fn sum_of(row: Row) -> u64 {
    let sums = row[0] + row[1] + row[2];
    return element(sums.xy + sums.zw);
}

// Columns as rows.
fn turned(s: Square) -> Square {
    return Square(
        Row(vec4(s.r0[0].xy, s.r1[0].xy), vec4(s.r2[0].xy, s.r3[0].xy), vec4(s.r4[0].xy, s.r5[0].xy)),
        Row(vec4(s.r0[0].zw, s.r1[0].zw), vec4(s.r2[0].zw, s.r3[0].zw), vec4(s.r4[0].zw, s.r5[0].zw)),
        Row(vec4(s.r0[1].xy, s.r1[1].xy), vec4(s.r2[1].xy, s.r3[1].xy), vec4(s.r4[1].xy, s.r5[1].xy)),
        Row(vec4(s.r0[1].zw, s.r1[1].zw), vec4(s.r2[1].zw, s.r3[1].zw), vec4(s.r4[1].zw, s.r5[1].zw)),
        Row(vec4(s.r0[2].xy, s.r1[2].xy), vec4(s.r2[2].xy, s.r3[2].xy), vec4(s.r4[2].xy, s.r5[2].xy)),
        Row(vec4(s.r0[2].zw, s.r1[2].zw), vec4(s.r2[2].zw, s.r3[2].zw), vec4(s.r4[2].zw, s.r5[2].zw)),
    );
}
