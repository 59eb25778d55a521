// Softmax cross-entropy: one invocation for each image. x has the logits, `weights` the targets, and `other` a weight and
// a label for each image.
//
// With LOSS or CORRECT it adds each image's loss, and whether its largest logit is that of its label, to two numbers for
// each place in a batch. With MEAN it is the gradient of the mean loss.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var row = id.x; row < p.rows; row += groups.x * INVOCATIONS) {
        let first = row * p.channels;
        var largest = x[first];
        var place = 0u;
        for (var i = 1u; i < p.channels; i++) {
            if x[first + i] > largest {
                largest = x[first + i];
                place = i;
            }
        }
        var sum = 0.0;
        for (var i = 0u; i < p.channels; i++) {
            sum += exp(x[first + i] - largest);
        }
        let weight = other[2u * row];
        if has(CORRECT) {
            y[2u * row + 1u] += select(0.0, 1.0, place == u32(other[2u * row + 1u]));
        }
        if has(LOSS) {
            var loss = 0.0;
            for (var i = 0u; i < p.channels; i++) {
                loss += weight * weights[first + i] * (largest + log(sum) - x[first + i]);
            }
            y[2u * row] += loss;
        }
        if has(MEAN) {
            for (var i = 0u; i < p.channels; i++) {
                y[first + i] = weight / f32(p.rows) * (exp(x[first + i] - largest) / sum - weights[first + i]);
            }
        }
    }
}
