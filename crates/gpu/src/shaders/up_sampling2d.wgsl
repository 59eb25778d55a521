// Nearest-neighbor upsampling: each position becomes a block of equal positions, `stride_y` by `stride_x`.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let positions = p.out_height * p.out_width;
    for (var i = id.x; i < p.rows * p.channels; i += groups.x * INVOCATIONS) {
        let channel = i % p.channels;
        let row = i / p.channels;
        let line = (row % positions) / p.out_width / p.stride_y;
        let column = (row % positions) % p.out_width / p.stride_x;
        let at = (row / positions * p.height + line) * p.width + column;
        store(row, channel, x[at * p.channels + channel], 0u);
    }
}
