//! The step of adam.wgsl for drivers that load and store lane by lane, 64 bits as fast as 32. Grid: an invocation an element.
#import adam_step
#import quads

@group(0) @binding(10) var<storage, read> gradient: array<vec2<u64>>; // [count / 4]
@group(0) @binding(11) var<storage, read> clip_scale: array<f32>; // [2]: ‖g‖, scale
@group(0) @binding(12) var<storage, read_write> weight: array<vec2<u64>>; // [count / 4]
@group(0) @binding(13) var<storage, read_write> first_moment: array<vec2<u64>>; // [count / 4]
@group(0) @binding(14) var<storage, read_write> second_moment: array<vec2<u64>>; // [count / 4]
@group(0) @binding(15) var<storage, read_write> average: array<vec2<u64>>; // [count / 4]
