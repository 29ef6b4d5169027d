// Adam with decoupled weight decay and the running average of the weights, for files that say what an Element of memory is
// and what its values are; see adam.wgsl.
#import grid

struct Adam { count: u32, lr: f32, beta1: f32, beta2: f32, eps: f32, decay: f32, correction1: f32, correction2: f32, ema: f32 } // count of elements
var<immediate> p: Adam;

@compute @workgroup_size(64)
fn adam(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= p.count {
        return;
    }
    let g = values(gradient[i]) * clip_scale[1];
    let m = p.beta1 * values(first_moment[i]) + (1.0 - p.beta1) * g;
    let v = p.beta2 * values(second_moment[i]) + (1.0 - p.beta2) * g * g;
    first_moment[i] = element(m);
    second_moment[i] = element(v);
    let step = (m * p.correction1) / (sqrt(v * p.correction2) + p.eps);
    let old = values(weight[i]);
    let w = old - p.lr * (step + p.decay * old);
    weight[i] = element(w);
    average[i] = element(p.ema * values(average[i]) + (1.0 - p.ema) * w);
}
