// Adds up the partial sums of chunks: one invocation for each of `row_length` values.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let chunks = (p.rows + p.chunk - 1u) / p.chunk;
    for (var i = id.x; i < p.row_length; i += groups.x * INVOCATIONS) {
        var sum = 0.0;
        for (var chunk = 0u; chunk < chunks; chunk++) {
            sum += x[chunk * p.row_length + i];
        }
        y[p.first + i] = sum;
    }
}
