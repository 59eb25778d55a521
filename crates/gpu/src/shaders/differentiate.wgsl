// The gradient of the input of an activation, from that of the output (x). `weights` is the output, or the input for SiLU.

fn slope_at(v: f32) -> f32 {
    switch p.activation {
        case 1u: { return select(0.0, 1.0, v > 0.0); }
        case 2u: { return select(p.slope, 1.0, v > 0.0); }
        case 3u: {
            let s = sigmoid(v);
            return s * (1.0 + v * (1.0 - s));
        }
        case 4u: { return v * (1.0 - v); }
        case 5u: { return 1.0 - v * v; }
        default: { return 1.0; }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.rows * p.channels; i += groups.x * INVOCATIONS) {
        y[i] = x[i] * slope_at(weights[i]);
    }
}
