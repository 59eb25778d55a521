// The gradient of the input of a pooling layer: each value sums over the windows that contain it. x is the input, and
// `weights` the gradient of the output. A maximum passes its gradient to the first value that equals it.

// Whether the value at `line` and `column` is the first maximum of a window.
fn is_maximum(at: vec2<i32>, low: vec2<i32>, high: vec2<i32>, image: u32, channel: u32) -> bool {
    var largest = 0.0;
    var found = vec2<i32>(-1, -1);
    for (var line = low.x; line < high.x; line++) {
        for (var column = low.y; column < high.y; column++) {
            let value = x[(image + u32(line * i32(p.width) + column)) * p.channels + channel];
            if found.x < 0 || value > largest {
                largest = value;
                found = vec2<i32>(line, column);
            }
        }
    }
    return all(found == at);
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let size = vec2<i32>(i32(p.kernel_height), i32(p.kernel_width));
    let strides = vec2<i32>(i32(p.stride_y), i32(p.stride_x));
    let before = vec2<i32>(i32(p.before_y), i32(p.before_x));
    let extent = vec2<i32>(i32(p.height), i32(p.width));
    let last = vec2<i32>(i32(p.out_height), i32(p.out_width)) - 1;
    for (var i = id.x; i < p.rows * p.channels; i += groups.x * INVOCATIONS) {
        let channel = i % p.channels;
        let row = i / p.channels;
        let image = row / (p.height * p.width);
        let position = row % (p.height * p.width);
        let at = vec2<i32>(i32(position / p.width), i32(position % p.width));
        let first_window = (max(at + before - size + 1, vec2<i32>()) + strides - 1) / strides;
        let last_window = min((at + before) / strides, last);
        var sum = 0.0;
        for (var line = first_window.x; line <= last_window.x; line++) {
            for (var column = first_window.y; column <= last_window.y; column++) {
                let top_left = vec2<i32>(line, column) * strides - before;
                let low = max(top_left, vec2<i32>());
                let high = min(top_left + size, extent);
                let window = (image * p.out_height + u32(line)) * p.out_width + u32(column);
                let gradient = weights[window * p.channels + channel];
                if has(AVERAGE) {
                    sum += gradient / f32((high.x - low.x) * (high.y - low.y));
                } else if is_maximum(at, low, high, image * p.height * p.width, channel) {
                    sum += gradient;
                }
            }
        }
        store(row, channel, sum, 0u);
    }
}
