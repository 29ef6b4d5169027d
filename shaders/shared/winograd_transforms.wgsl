// The matrices of Winograd's convolution F(4 x 4, 3 x 3) by Toom and Cook's interpolation at 0, ±1/√2, ±√2 and ∞:
//   Bᵀ = 1  0   -5/2   0    1  0    G =  1    0    0      Aᵀ = 1  1     1     1   1  0
//        0 -√2  -2    1/√2  1  0       -2/3 -√2/3 -1/3         0  1/√2 -1/√2  √2 -√2 0
//        0  √2  -2   -1/√2  1  0       -2/3  √2/3 -1/3         0  1/2   1/2   2   2  0
//        0 -1/√2 -1/2  √2   1  0        1/6  √2/6  1/3         0  √2/4 -√2/4 2√2 -2√2 1
//        0  1/√2 -1/2 -√2   1  0        1/6 -√2/6  1/3
//        0  1    0   -5/2   0  1        0    0    1
const R: f32 = 1.4142135623730951; // √2
const S: f32 = 0.7071067811865476; // 1/√2

// Six rows, of which some may be zero, of six elements.
struct Square { r0: Row, r1: Row, r2: Row, r3: Row, r4: Row, r5: Row }

// Bᵀ s.
fn times_b(s: Square) -> Square {
    let even = s.r4 - 2.0 * s.r2;
    let odd = S * s.r3 - R * s.r1;
    let far_even = s.r4 - 0.5 * s.r2;
    let far_odd = R * s.r3 - S * s.r1;
    return Square(
        (s.r0 - 2.5 * s.r2) + s.r4, even + odd, even - odd, far_even + far_odd, far_even - far_odd, (s.r1 - 2.5 * s.r3) + s.r5,
    );
}

// G s, of three rows.
fn times_g(s: Square) -> Square {
    let even = (-2.0 / 3.0) * s.r0 - (1.0 / 3.0) * s.r2;
    let odd = (-2.0 / 3.0 * S) * s.r1;
    let far_even = (1.0 / 6.0) * s.r0 + (1.0 / 3.0) * s.r2;
    let far_odd = (1.0 / 6.0 * R) * s.r1;
    return Square(s.r0, even + odd, even - odd, far_even + far_odd, far_even - far_odd, s.r2);
}

// Gᵀ s, of three rows.
fn times_gt(s: Square) -> Square {
    let even = s.r1 + s.r2;
    let far_even = s.r3 + s.r4;
    return Square(
        s.r0 - (2.0 / 3.0) * even + (1.0 / 6.0) * far_even,
        (-2.0 / 3.0 * S) * (s.r1 - s.r2) + (1.0 / 6.0 * R) * (s.r3 - s.r4),
        s.r5 + (1.0 / 3.0) * (far_even - even),
        Row(), Row(), Row(),
    );
}

// Aᵀ s, of four rows.
fn times_at(s: Square) -> Square {
    let even = s.r1 + s.r2;
    let odd = s.r1 - s.r2;
    let far_even = s.r3 + s.r4;
    let far_odd = s.r3 - s.r4;
    return Square(
        s.r0 + (even + far_even),
        S * odd + R * far_odd,
        0.5 * even + 2.0 * far_even,
        s.r5 + (0.5 * S * odd + 2.0 * R * far_odd),
        Row(), Row(),
    );
}

// A s, of four rows.
fn times_a(s: Square) -> Square {
    let even = s.r0 + 0.5 * s.r2;
    let odd = S * s.r1 + 0.5 * S * s.r3;
    let far_even = s.r0 + 2.0 * s.r2;
    let far_odd = R * s.r1 + 2.0 * R * s.r3;
    return Square(s.r0, even + odd, even - odd, far_even + far_odd, far_even - far_odd, s.r3);
}

// B s, of which only four rows stay, after the last row of the square before and before the first of the one behind: the sum
// of squares that overlap by two rows.
fn overlaid(s: Square, before: Row, behind: Row) -> Square {
    let even = s.r1 + s.r2;
    let odd = s.r1 - s.r2;
    let far_even = s.r3 + s.r4;
    let far_odd = s.r3 - s.r4;
    return Square(
        (before + s.r5) - (R * odd + S * far_odd),
        -2.5 * s.r0 - (2.0 * even + 0.5 * far_even),
        (S * odd + R * far_odd) - 2.5 * s.r5,
        (s.r0 + behind) + (even + far_even),
        Row(), Row(),
    );
}
