// Softmax over the channels of a position: one invocation for each position.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var row = id.x; row < p.rows; row += groups.x * INVOCATIONS) {
        let first = row * p.channels;
        // The maximum is subtracted first, so that large logits do not overflow.
        var largest = x[first];
        for (var i = 1u; i < p.channels; i++) {
            largest = max(largest, x[first + i]);
        }
        var sum = 0.0;
        for (var i = 0u; i < p.channels; i++) {
            sum += exp(x[first + i] - largest);
        }
        for (var i = 0u; i < p.channels; i++) {
            store(row, i, exp(x[first + i] - largest) / sum, 0u);
        }
    }
}
