// Group normalisation by invocations that walk over a whole group, for files that import what an Element of memory is, one
// channel or several; see group_norm_direct.wgsl.
#import grid

override SILU: bool = false;

struct Params { batch: u32, hw: u32, channels: u32, groups: u32, eps: f32 } // channels in elements
var<immediate> p: Params;

// A group of a sample: its number, its first element of a position, and where in memory it begins.
struct Slab { number: u32, first: u32, at: u32 }

fn slab_of(i: u32) -> Slab {
    let n = divide(i, p.groups);
    let first = width() * (i - n * p.groups);
    return Slab(i, first, n * p.hw * p.channels + first);
}

// Elements of a group's position.
fn width() -> u32 {
    return p.channels / p.groups;
}

// Mean over the group's positions and channels of sums over positions.
fn group_mean(sums: Values) -> f32 {
    return total(sums) / f32(p.hw * width() * PER_ELEMENT);
}

// accurate_sigmoid of every channel of an element.
fn sigmoid(u: Values) -> Values {
    let e = exp(-abs(u));
    return select(e, Values(1.0), u >= Values(0.0)) / (1.0 + e);
}

// silu_slope of every channel of an element.
fn slope_of_silu(u: Values) -> Values {
    let e = exp(-abs(u));
    let up = select(e, Values(1.0), u >= Values(0.0)) / (1.0 + e);
    let down = select(Values(1.0), e, u >= Values(0.0)) / (1.0 + e);
    return up * (1.0 + u * down);
}

fn activation(u: Values) -> Values {
    if SILU {
        return u * sigmoid(u);
    }
    return u;
}

// Gradient of u = γ x̂ + β, given that of y.
fn before_activation(dy: Values, u: Values) -> Values {
    if SILU {
        return dy * slope_of_silu(u);
    }
    return dy;
}

@compute @workgroup_size(8)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let own = slab_of(linear_index(wid, grid, lid, 8u));
    if own.number >= p.batch * p.groups {
        return;
    }
    var sums = Values();
    for (var c = 0u; c < width(); c += 1u) {
        for (var i = 0u; i < p.hw; i += 1u) {
            sums += values(x[own.at + i * p.channels + c]);
        }
    }
    let mean = group_mean(sums);
    var squares = Values();
    for (var c = 0u; c < width(); c += 1u) {
        for (var i = 0u; i < p.hw; i += 1u) {
            let v = values(x[own.at + i * p.channels + c]) - mean;
            squares += v * v;
        }
    }
    let rstd = 1.0 / sqrt(group_mean(squares) + p.eps);
    for (var c = 0u; c < width(); c += 1u) {
        let scale = values(gamma[own.first + c]);
        let shift = values(beta[own.first + c]);
        for (var i = 0u; i < p.hw; i += 1u) {
            let at = own.at + i * p.channels + c;
            y[at] = element(activation(scale * ((values(x[at]) - mean) * rstd) + shift));
        }
    }
    stats[own.number] = vec2(mean, rstd);
}

@compute @workgroup_size(8)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let own = slab_of(linear_index(wid, grid, lid, 8u));
    if own.number >= p.batch * p.groups {
        return;
    }
    let mean = saved[own.number].x;
    let rstd = saved[own.number].y;
    let sample = divide(own.at, p.hw * p.channels) * p.channels;
    var sums = Values();
    var products = Values();
    for (var c = 0u; c < width(); c += 1u) {
        let scale = values(gamma[own.first + c]);
        let shift = values(beta[own.first + c]);
        var g_sum = Values();
        var g_xhat = Values();
        for (var i = 0u; i < p.hw; i += 1u) {
            let at = own.at + i * p.channels + c;
            let xhat = (values(x[at]) - mean) * rstd;
            let g = before_activation(values(dy[at]), scale * xhat + shift);
            g_sum += g;
            g_xhat += g * xhat;
            let scaled = scale * g;
            sums += scaled;
            products += scaled * xhat;
            // Read again below, by this invocation alone.
            dx[at] = element(scaled);
        }
        part_gamma[sample + own.first + c] = element(g_xhat);
        part_beta[sample + own.first + c] = element(g_sum);
    }
    let mean_g = group_mean(sums);
    let mean_product = group_mean(products);
    for (var c = 0u; c < width(); c += 1u) {
        for (var i = 0u; i < p.hw; i += 1u) {
            let at = own.at + i * p.channels + c;
            let xhat = (values(x[at]) - mean) * rstd;
            dx[at] = element(rstd * (values(dx[at]) - mean_g - xhat * mean_product));
        }
    }
}

@compute @workgroup_size(8)
fn backward_affine(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 8u);
    if at >= p.channels {
        return;
    }
    var sum_gamma = Values();
    var sum_beta = Values();
    for (var n = 0u; n < p.batch; n += 1u) {
        sum_gamma += values(parts_gamma[n * p.channels + at]);
        sum_beta += values(parts_beta[n * p.channels + at]);
    }
    dgamma[at] = element(sum_gamma);
    dbeta[at] = element(sum_beta);
}
