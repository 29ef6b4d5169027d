//! Matrix product as in matmul_vec4.wgsl for GPUs: see shared/staging.wgsl. N must divide by 4 too.
//! Blocks are tiles. Grid: see shared/product.wgsl.
#import product
#import tile

override A_ROWS: bool = false;
override B_COLUMNS: bool = false;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [batch, m, k / 4] or [batch, k, m / 4]
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [batch, n, k / 4] or [batch, k, n / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [n / 4]
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>; // [m, n / 4]
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [parts, batch, m, n / 4]

// The tile's first row and first column quad, the matrix of the batch, and the first row of y's plane.
struct Place { row: u32, quad: u32, z: u32, plane: u32 }

const HAS_FACTORS = false;

fn left_along() -> bool {
    return !A_ROWS;
}

fn right_along() -> bool {
    return !B_COLUMNS;
}

// Where a load begins: the vec4 of its four rows (columns), or the first of them where they lie across K.
struct Source { at: vec4<u32> }

fn source_of(load: Load, place: Place) -> Source {
    // Beyond the last, rows and columns repeat it.
    if load.left {
        let row = place.row + 4u * load.quad;
        let own = select(min(row + LANES, vec4(p.m - 1u)), vec4(min(row, p.m - 4u)), A_ROWS);
        return Source((vec4(place.z * p.a_batch) + own * p.a_row) / 4u);
    }
    let column = min(4u * (place.quad + load.quad), p.n - 4u);
    let own = select(column + LANES, vec4(column), B_COLUMNS);
    return Source((vec4(place.z * p.b_batch) + own * p.b_column) / 4u);
}

fn block_of(load: Load, source: Source, place: Place, term: u32) -> Loaded {
    if load.left {
        let at = source.at + term * p.a_k / 4u;
        if A_ROWS {
            let step = p.a_k / 4u;
            return Loaded(mat4x4(a[at.x], a[at.x + step], a[at.x + 2u * step], a[at.x + 3u * step]), vec4(1.0));
        }
        return Loaded(mat4x4(a[at.x], a[at.y], a[at.z], a[at.w]), vec4(1.0));
    }
    let at = source.at + term * p.b_k / 4u;
    if B_COLUMNS {
        let step = p.b_k / 4u;
        return Loaded(mat4x4(b[at.x], b[at.x + step], b[at.x + 2u * step], b[at.x + 3u * step]), vec4(1.0));
    }
    return Loaded(mat4x4(b[at.x], b[at.y], b[at.z], b[at.w]), vec4(1.0));
}

fn keep_row(place: Place, row: u32, quad: u32, sum: vec4<f32>) {
    let own = place.row + row;
    let column = place.quad + quad;
    if own >= p.m || column >= p.n / 4u {
        return;
    }
    var out = sum;
    if BIAS {
        out += bias[column];
    }
    let at = (place.plane + own) * (p.n / 4u) + column;
    if RESIDUAL {
        out += residual[at];
    }
    y[at] = out;
}

fn work_of(wid: vec3<u32>, grid: vec3<u32>) -> Work {
    let share = share_of(wid, grid);
    let tile = tile_at(share.block, p.n / 4u);
    let place = Place(tile.x * tile_rows(), tile.y, share.matrix, share.plane * p.m);
    return Work(true, place, share.part * p.k_part, min((share.part + 1u) * p.k_part, p.k));
}
