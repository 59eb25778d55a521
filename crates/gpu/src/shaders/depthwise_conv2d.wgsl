// Depthwise convolution: one invocation for each value of the output, neighbors in memory side by side.
//
// With TRANSPOSED, which is prepended, it is the gradient of the input: x is the gradient of the output, and the sum is
// over the windows that contain a position.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let kernel_len = p.kernel_height * p.kernel_width * p.channels;
    for (var i = id.x; i < p.rows * p.channels; i += groups.x * INVOCATIONS) {
        let channel = i % p.channels;
        let row = i / p.channels;
        let place = place_of(row);
        var sum = 0.0;
        for (var down = 0; down < i32(p.kernel_height); down++) {
            for (var across = 0; across < i32(p.kernel_width); across++) {
                var line = place.top + down;
                var column = place.left + across;
                if TRANSPOSED {
                    let position = row % (p.out_height * p.out_width);
                    line = quotient(i32(position / p.out_width + p.before_y) - down, i32(p.stride_y));
                    column = quotient(i32(position % p.out_width + p.before_x) - across, i32(p.stride_x));
                }
                if line >= 0 && line < i32(p.height) && column >= 0 && column < i32(p.width) {
                    let at = (place.image + u32(line * i32(p.width) + column)) * p.channels + channel;
                    sum += x[at] * weights[u32(down * i32(p.kernel_width) + across) * p.channels + channel];
                }
            }
        }
        store(row, channel, sum, kernel_len);
    }
}
