// What batch normalization computes for each channel; the passes over maps are in `reduce` and `elementwise`.
//
// The state of a layer is the scale and the shift of a pass, the mean, the inverse of the standard deviation, and the
// variance. STEP is prepended.

// The state from the sums of MOMENTS (x) and the map (`other`), or from the running statistics. `slope` is epsilon.
fn state(channel: u32) {
    let channels = p.channels;
    var mean = weights[2u * channels + channel];
    var variance = weights[3u * channels + channel];
    if !has(STORED) {
        let distance = x[channel] / f32(p.rows);
        mean = other[channel] + distance;
        variance = max(x[channels + channel] / f32(p.rows) - distance * distance, 0.0);
    }
    let inverse = 1.0 / sqrt(variance + p.slope);
    let scale = weights[channel] * inverse;
    y[channel] = scale;
    y[channels + channel] = weights[channels + channel] - mean * scale;
    y[2u * channels + channel] = mean;
    y[3u * channels + channel] = inverse;
    y[4u * channels + channel] = variance;
}

// The running statistics from the state (x). `slope` is the share that is kept.
fn running(channel: u32) {
    let mean = 2u * p.channels + channel;
    let variance = 3u * p.channels + channel;
    y[mean] = p.slope * y[mean] + (1.0 - p.slope) * x[mean];
    y[variance] = p.slope * y[variance] + (1.0 - p.slope) * x[4u * p.channels + channel];
}

// The gradients of gamma and beta from the sums of NORMALIZED (x) and the state (`weights`).
fn gradient(channel: u32) {
    y[channel] = x[p.channels + channel] * weights[3u * p.channels + channel];
    y[p.channels + channel] = x[channel];
}

// Factors of the gradient of the output and of the input, and the offset, which COMBINE applies; from the sums of
// NORMALIZED (x) and the state (`weights`):
// dx = scale · (dy − mean(dy) − x̂ · mean(dy · x̂)), x̂ = (x − mean) · inverse.
fn factors(channel: u32) {
    let scale = weights[channel];
    let mean = weights[2u * p.channels + channel];
    let inverse = weights[3u * p.channels + channel];
    // With stored statistics mean and variance do not depend on x.
    let share = select(1.0 / f32(p.rows), 0.0, has(STORED));
    let by_value = -scale * share * inverse * inverse * x[p.channels + channel];
    y[channel] = scale;
    y[p.channels + channel] = by_value;
    y[2u * p.channels + channel] = -scale * share * x[channel] - by_value * mean;
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var channel = id.x; channel < p.channels; channel += groups.x * INVOCATIONS) {
        switch STEP {
            case 0u: { state(channel); }
            case 1u: { running(channel); }
            case 2u: { gradient(channel); }
            default: { factors(channel); }
        }
    }
}
