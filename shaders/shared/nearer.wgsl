// What the kernels of the nearest code share: parameters and the comparison.
const FARTHEST = 3.4028235e38;

struct Params { rows: u32, d: u32, k: u32, part: u32 }
var<immediate> p: Params;

// What four rows are nearest to so far.
struct Best { distance: vec4<f32>, code: vec4<u32> }

fn nearer(best: Best, distance: vec4<f32>, code: u32) -> Best {
    return Best(min(best.distance, distance), select(best.code, vec4(code), distance < best.distance));
}
