// Dropout, with the CPU's generator (SplitMix64, `moue_engine::random`), so that masks are equal: one invocation for two
// values, which share a random number of 64 bits.
//
// `other` has the states of each image's streams in `chunk` numbers, and from `first` on that of this layer, in four
// numbers of 16 bits. `row_offset` is the threshold below which a value is dropped, `row_length` the number of values of
// an image, and `slope` the factor of the others.

// Numbers of 64 bits: the low half first.
fn product(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let a_low = a.x & 0xffffu;
    let a_high = a.x >> 16u;
    let b_low = b.x & 0xffffu;
    let b_high = b.x >> 16u;
    let low = a_low * b_low;
    let middle = a_high * b_low + (low >> 16u);
    let other_middle = a_low * b_high + (middle & 0xffffu);
    let high = a_high * b_high + (middle >> 16u) + (other_middle >> 16u);
    return vec2<u32>((other_middle << 16u) | (low & 0xffffu), high + a.x * b.y + a.y * b.x);
}

fn sum_of(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn shifted(z: vec2<u32>, bits: u32) -> vec2<u32> {
    return vec2<u32>((z.x >> bits) | (z.y << (32u - bits)), z.y >> bits);
}

fn mix(number: vec2<u32>) -> vec2<u32> {
    var z = product(number ^ shifted(number, 30u), vec2<u32>(0x1ce4e5b9u, 0xbf58476du));
    z = product(z ^ shifted(z, 27u), vec2<u32>(0x133111ebu, 0x94d049bbu));
    return z ^ shifted(z, 31u);
}

fn random(image: u32, n: u32) -> vec2<u32> {
    let at = p.first + p.chunk * image;
    let state = vec2<u32>(
        u32(other[at]) | (u32(other[at + 1u]) << 16u),
        u32(other[at + 2u]) | (u32(other[at + 3u]) << 16u),
    );
    return mix(sum_of(state, product(vec2<u32>(n + 1u, 0u), vec2<u32>(0x7f4a7c15u, 0x9e3779b9u))));
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let len = p.row_length;
    let pairs = (len + 1u) / 2u;
    let images = p.rows * p.channels / len;
    for (var i = id.x; i < images * pairs; i += groups.x * INVOCATIONS) {
        let image = i / pairs;
        let pair = i % pairs;
        var bits = random(image, select(pair, 0u, has(WHOLE)));
        if has(WHOLE) {
            bits.y = bits.x;
        }
        let at = image * len + 2u * pair;
        y[at] = select(x[at] * p.slope, 0.0, bits.x < p.row_offset);
        if 2u * pair + 1u < len {
            y[at + 1u] = select(x[at + 1u] * p.slope, 0.0, bits.y < p.row_offset);
        }
    }
}
