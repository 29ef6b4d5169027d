// What the kernels of matrix products share: parameters and what is added in the same pass.
override BIAS: bool = false;
override RESIDUAL: bool = false;

struct Params {
    m: u32, n: u32, k: u32, k_part: u32,
    a_row: u32, a_k: u32, a_batch: u32,
    b_k: u32, b_column: u32, b_batch: u32,
    fold: u32, // grids of more than 65,535 blocks are folded so often into z
}
var<immediate> p: Params;

// A workgroup's share: which block of outputs (perhaps beyond the last), which part of K, which matrix of the batch, and the
// plane of y.
struct Share { block: u32, part: u32, matrix: u32, plane: u32 }

fn share_of(wid: vec3<u32>, grid: vec3<u32>) -> Share {
    let matrix = wid.z / p.fold;
    return Share((wid.z - matrix * p.fold) * grid.x + wid.x, wid.y, matrix, wid.y * (grid.z / p.fold) + matrix);
}
