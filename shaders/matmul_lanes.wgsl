//! Matrix product as in matmul_vec4.wgsl for CPU drivers with subgroups of eight lanes: see shared/lanes.wgsl. N must
//! divide by 4 too.
//! Blocks are of 32 x 64 outputs (32 x 32 unless WIDE). Grid: see shared/product.wgsl.
#import product
#import lanes

override A_ROWS: bool = false;
override B_COLUMNS: bool = false;

@group(0) @binding(0) var<storage, read> a: array<vec2<u64>>; // [batch, m, k / 4] or [batch, k, m / 4]
@group(0) @binding(1) var<storage, read> b: array<vec2<u64>>; // [batch, n, k / 4] or [batch, k, n / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [n / 4]
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>; // [m, n / 4]
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [parts, batch, m, n / 4]

// Four rows of op(b) from where `at` points.
fn tile_b(at: u32) -> mat4x4<f32> {
    let step = select(p.b_column, p.b_k, B_COLUMNS) / 4u;
    let tile = mat4x4(values(b[at]), values(b[at + step]), values(b[at + 2u * step]), values(b[at + 3u * step]));
    if B_COLUMNS {
        return tile;
    }
    return transpose(tile);
}

fn finished(at: u32, sum: vec4<f32>) -> vec4<f32> {
    if RESIDUAL {
        return sum + residual[at];
    }
    return sum;
}

@compute @workgroup_size(8)
fn lanes(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let share = share_of(wid, grid);
    let columns = p.n / 4u;
    let at = columns_of(share.block, lane, columns);
    let row = 32u * block_of_rows(share.block, columns);
    let own = row + lane + 8u * LANES;
    // Beyond the last, rows repeat it.
    var start = share.matrix * (p.a_batch / 4u) + min(own, vec4(p.m - 1u)) * (p.a_row / 4u);
    if A_ROWS {
        let quads = min(vec4(row / 4u + lane / 4u) + 2u * LANES, vec4(p.m / 4u - 1u));
        start = share.matrix * (p.a_batch / 4u) + (lane % 4u) * (p.a_k / 4u) + quads;
    }
    let step_a = select(1u, p.a_k, A_ROWS);
    let pitch = select(p.b_column, 1u, B_COLUMNS);
    let step_b = select(1u, p.b_k, B_COLUMNS);
    let base = share.matrix * (p.b_batch / 4u);
    var sums = Sums();
    if BIAS {
        sums = begin_with_bias(at);
    }
    let end = min((share.part + 1u) * p.k_part, p.k) / 4u;
    for (var k = share.part * (p.k_part / 4u); k < end; k += 1u) {
        let near = tile_b(base + at.near * pitch + k * step_b);
        var far = near;
        if WIDE {
            far = tile_b(base + at.far * pitch + k * step_b);
        }
        let i = start + k * step_a;
        let left = mat4x4(values(a[i.x]), values(a[i.y]), values(a[i.z]), values(a[i.w]));
        if A_ROWS {
            sums = add_columns(sums, left, near, far);
        } else {
            sums = add_rows(sums, left, near, far);
        }
    }
    let rows = share.plane * p.m + own;
    keep(select(vec4(OUTSIDE), rows, own < vec4(p.m)), at, columns, sums);
}
