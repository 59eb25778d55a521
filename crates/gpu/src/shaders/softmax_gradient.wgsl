// The gradient of the input of a softmax, from that of the output (x) and the output (`weights`): one invocation for each
// position.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var row = id.x; row < p.rows; row += groups.x * INVOCATIONS) {
        let first = row * p.channels;
        var mean = 0.0;
        for (var i = first; i < first + p.channels; i++) {
            mean += x[i] * weights[i];
        }
        for (var i = first; i < first + p.channels; i++) {
            y[i] = weights[i] * (x[i] - mean);
        }
    }
}
