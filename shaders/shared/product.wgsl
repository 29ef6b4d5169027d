// What the kernels of matrix products share: parameters and what is added in the same pass.
override BIAS: bool = false;
override RESIDUAL: bool = false;

struct Params {
    m: u32, n: u32, k: u32, k_part: u32,
    a_row: u32, a_k: u32, a_batch: u32,
    b_k: u32, b_column: u32, b_batch: u32,
}
var<immediate> p: Params;
