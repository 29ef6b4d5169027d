// What kernels whose workgroups own tiles of outputs share: which tile, which terms, and how operands are loaded.
// Both come in steps of DEPTH terms of K, as blocks of 4 x 4.
//
// The importing file says what the operands are:
//   Place                            where the workgroup's tile lies; the same for all its invocations
//   work_of(wid, grid)               a workgroup's work
//   left_along(), right_along()      whether an operand's numbers lie along K in memory, else across it
//   Source, source_of(load, place)   what a load needs at all terms
//   block_of(load, source, place, term)   four rows (columns) at terms term .. + 3, and by what they count
//   HAS_FACTORS                      whether blocks count by factors that are not 1
//   keep_row(place, row, quad, sum)  takes four outputs, of row `row` and column quad `quad` of the tile
// and tile.wgsl, or what stands in for it, the entry point `tiled`, DEPTH, tile_rows(), tile_quads(), invocations(), and
//   block_at(at, quads, along)       quad, and which four terms, of block `at` of an operand that is so many quads wide
//   put(load, loaded, inside)        puts a block into its place in workgroup memory, or zeros unless it is `inside`
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

// The block that invocation `own` loads in this round. Neighbours load side by side. Written so that compilers see where all
// invocations load of one operand, or have something to load, and there is nothing to decide.
fn load_of(own: u32, round: u32) -> Load {
    let number = round * invocations() + own;
    let of_left = tile_rows() / 4u * (DEPTH / 4u);
    let left = select(number, round * invocations(), of_left % invocations() == 0u) < of_left;
    let at = select(number - of_left, number, left);
    let quads = select(tile_quads(), tile_rows() / 4u, left);
    let along = select(right_along(), left_along(), left);
    let place = block_at(at, quads, along);
    return Load(left, place.x, place.y, load_count() % invocations() == 0u || number < load_count());
}

// What was loaded: four vec4s as they lie in memory, and a factor of each for what is not there. They are multiplied and
// transposed when they are used: where they are loaded, that would wait for memory.
struct Loaded { block: mat4x4<f32>, factors: vec4<f32> }

// The vec4s times their factors.
fn by_factors(got: Loaded) -> mat4x4<f32> {
    let f = got.factors;
    let b = got.block;
    return mat4x4(f.x * b[0], f.y * b[1], f.z * b[2], f.w * b[3]);
}

// The block, transposed if `turned`; zeros unless `inside`.
fn rows_of(got: Loaded, turned: bool, inside: bool) -> mat4x4<f32> {
    if !inside {
        return mat4x4<f32>();
    }
    var block = got.block;
    if HAS_FACTORS {
        block = by_factors(got);
    }
    if turned {
        return transpose(block);
    }
    return block;
}

// The block of the step from `k`; beyond `end`, which is not 0, it is the last once more, and `rows_of` leaves it out: what may
// or may not have been loaded compilers copy, and for that they wait for memory.
fn loaded(load: Load, source: Source, place: Place, k: u32, end: u32) -> Loaded {
    if !load.on {
        return Loaded();
    }
    return block_of(load, source, place, min(first_term(load, k), (end - 1u) / 4u * 4u));
}

fn first_term(load: Load, k: u32) -> u32 {
    return k + 4u * load.k;
}

// What an invocation loads in every step, and has loaded of one: a block in each of up to four rounds.
struct Loads { l0: Load, l1: Load, l2: Load, l3: Load, s0: Source, s1: Source, s2: Source, s3: Source }
struct Step { b0: Loaded, b1: Loaded, b2: Loaded, b3: Loaded }

fn rounds() -> u32 {
    return (load_count() + invocations() - 1u) / invocations();
}

fn loads_of(own: u32, place: Place) -> Loads {
    let l0 = load_of(own, 0u);
    let l1 = load_of(own, 1u);
    let l2 = load_of(own, 2u);
    let l3 = load_of(own, 3u);
    return Loads(l0, l1, l2, l3, source_of(l0, place), source_of(l1, place), source_of(l2, place), source_of(l3, place));
}

// The step from `k`; see `loaded`.
fn step_at(loads: Loads, place: Place, k: u32, end: u32) -> Step {
    var step = Step();
    step.b0 = loaded(loads.l0, loads.s0, place, k, end);
    if rounds() > 1u {
        step.b1 = loaded(loads.l1, loads.s1, place, k, end);
    }
    if rounds() > 2u {
        step.b2 = loaded(loads.l2, loads.s2, place, k, end);
    }
    if rounds() > 3u {
        step.b3 = loaded(loads.l3, loads.s3, place, k, end);
    }
    return step;
}

// Puts the step from `k` into workgroup memory.
fn put_step(loads: Loads, step: Step, k: u32, end: u32) {
    put(loads.l0, step.b0, first_term(loads.l0, k) < end);
    if rounds() > 1u {
        put(loads.l1, step.b1, first_term(loads.l1, k) < end);
    }
    if rounds() > 2u {
        put(loads.l2, step.b2, first_term(loads.l2, k) < end);
    }
    if rounds() > 3u {
        put(loads.l3, step.b3, first_term(loads.l3, k) < end);
    }
}
