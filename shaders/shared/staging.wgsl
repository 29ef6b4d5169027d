// What kernels whose workgroups own tiles of outputs share: which tile, which terms, and how operands are loaded.
// Both come in steps of DEPTH terms of K, as blocks of 4 x 4.
//
// The importing file says what the operands are:
//   Place                            where the workgroup's tile lies; the same for all its invocations
//   work_of(wid, grid)               a workgroup's work
//   left_along(), right_along()      whether an operand's numbers lie along K in memory, else across it
//   Source, source_of(load, place)   what a load needs at all terms
//   block_of(load, source, place, term)   four rows (columns) at terms term .. + 3, and by what they count
//   counted(load, block)             the block as it counts
//   keep_row(place, row, quad, sum)  takes four outputs, of row `row` and column quad `quad` of the tile
// and tile.wgsl, or what stands in for it, the entry point `tiled`, DEPTH, tile_rows(), tile_quads(), and along_k(at): quad and
// four terms of block `at` of an operand along K.
#import block

// A tile and its terms `begin` up to `end` (both multiples of four, or `block_of` knows); nothing to do unless `on`.
struct Work { on: bool, place: Place, begin: u32, end: u32 }

// Which tile workgroup `group` has of an output `quads` vec4 wide: how many tiles down, and its first column quad.
fn tile_at(group: u32, quads: u32) -> vec2<u32> {
    let across = (quads + tile_quads() - 1u) / tile_quads();
    let down = group / across;
    return vec2(down, (group - down * across) * tile_quads());
}

// A block that an invocation loads: of the left operand or of the right, which four of the tile's rows (columns), and
// which four terms of a step; `on` is false where there are fewer blocks than invocations.
struct Load { left: bool, quad: u32, k: u32, on: bool }

// Blocks of a step.
fn load_count() -> u32 {
    return (tile_rows() / 4u + tile_quads()) * (DEPTH / 4u);
}

// Block `number`. Neighbours load side by side.
fn load_of(number: u32) -> Load {
    let of_left = tile_rows() / 4u * (DEPTH / 4u);
    let left = number < of_left;
    let at = select(number - of_left, number, left);
    let quads = select(tile_quads(), tile_rows() / 4u, left);
    let along = select(right_along(), left_along(), left);
    let place = select(vec2(at % quads, at / quads), along_k(at), vec2(along));
    return Load(left, place.x, place.y, number < load_count());
}

// What was loaded: rows along K, and factors for what is not there. They are multiplied when the block is used: where it is
// loaded, the multiplication would wait for memory.
struct Loaded { block: mat4x4<f32>, factors: vec4<f32> }

fn loaded(load: Load, source: Source, place: Place, k: u32, end: u32) -> Loaded {
    let term = k + 4u * load.k;
    if load.on && term < end {
        return block_of(load, source, place, term);
    }
    return Loaded();
}
