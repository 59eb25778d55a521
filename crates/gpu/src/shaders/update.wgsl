// A step of the optimizer, for all parameters at once, with the exponential moving average of the weights.
//
// `state` has sections of `section` numbers: the parameters, one or two moments, and the average. `options` has two
// numbers for each parameter: the factor of its weight decay, negative where the parameter is not trained, and that of
// its L2 penalty.
//
// With NORM, which is prepended, it is the squared norm of the gradients: one partial sum of each workgroup in `state`,
// from the parameters in `other`.

struct Update {
    count: u32,
    section: u32,
    // 0 for SGD without momentum, 1 with momentum, 2 with Nesterov momentum, 3 for Adam.
    kind: u32,
    // Section of the average, or 0.
    average: u32,
    rate: f32,
    decay: f32,
    // Momentum, or the decay of Adam's first moment.
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    // Adam's correction of the second moment.
    correction: f32,
    // Largest norm of the gradients, or 0.
    clip: f32,
    // Share of the weights in the average.
    share: f32,
    unused_0: vec4<u32>,
    unused_1: vec4<u32>,
}

@group(0) @binding(0) var<uniform> p: Update;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read> options: array<f32>;
// The squared norm of the gradients; for NORM the parameters.
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: array<f32>;

var<workgroup> lanes: array<f32, INVOCATIONS>;

// The gradient with that of the penalty.
fn gradient(i: u32, weight: f32) -> f32 {
    return gradients[i] + 2.0 * options[2u * i + 1u] * weight;
}

fn norm(first: u32, step: u32, group: u32, local: u32) {
    var sum = 0.0;
    for (var i = first; i < p.count; i += step) {
        if options[2u * i] >= 0.0 {
            let g = gradient(i, other[i]);
            sum += g * g;
        }
    }
    lanes[local] = sum;
    workgroupBarrier();
    if local == 0u {
        var total = 0.0;
        for (var lane = 0u; lane < INVOCATIONS; lane++) {
            total += lanes[lane];
        }
        state[group] = total;
    }
}

// The factor that limits the norm of the gradients.
fn limit() -> f32 {
    let norm = sqrt(other[0]);
    return select(1.0, p.clip / norm, p.clip > 0.0 && norm > p.clip);
}

fn update(i: u32, factor: f32) {
    let decay = options[2u * i];
    let weight = state[i];
    if decay >= 0.0 {
        let g = factor * gradient(i, weight);
        var step = g;
        if p.kind == 3u {
            let m = p.beta_1 * state[p.section + i] + (1.0 - p.beta_1) * g;
            let v = p.beta_2 * state[2u * p.section + i] + (1.0 - p.beta_2) * g * g;
            state[p.section + i] = m;
            state[2u * p.section + i] = v;
            step = m / (sqrt(v * p.correction) + p.epsilon);
        } else if p.kind > 0u {
            let m = p.beta_1 * state[p.section + i] + g;
            state[p.section + i] = m;
            step = select(m, g + p.beta_1 * m, p.kind == 2u);
        }
        state[i] = weight - (decay * p.decay * weight + p.rate * step);
    }
    if p.average > 0u {
        let at = p.average * p.section + i;
        state[at] += p.share * (state[i] - state[at]);
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let step = groups.x * INVOCATIONS;
    if NORM {
        norm(id.x, step, group.x, local);
        return;
    }
    let factor = limit();
    for (var i = id.x; i < p.count; i += step) {
        update(i, factor);
    }
}
