// The gradient of the input of an upsampling layer: each value sums over its block of positions. x is the gradient of the
// output.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let positions = p.out_height * p.out_width;
    for (var i = id.x; i < p.rows * p.channels; i += groups.x * INVOCATIONS) {
        let channel = i % p.channels;
        let row = i / p.channels;
        let line = (row % positions) / p.out_width * p.stride_y;
        let column = (row % positions) % p.out_width * p.stride_x;
        var sum = 0.0;
        for (var down = 0u; down < p.stride_y; down++) {
            for (var across = 0u; across < p.stride_x; across++) {
                let at = (row / positions * p.height + line + down) * p.width + column + across;
                sum += x[at * p.channels + channel];
            }
        }
        store(row, channel, sum, 0u);
    }
}
