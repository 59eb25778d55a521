// The gradient of a kernel, summed over a chunk of rows, as a matrix product: the transposed patches of the input, which
// are never stored, by the gradient of the output (in `other`). A workgroup reads TILE_K rows of TILE_M values of a patch
// and of TILE_N filters into its memory. Each chunk has its own sums, which `fold` adds up.
//
// TILE_M and TILE_N are prepended.

const TILE_K = 16u;
const QUADS_M = TILE_M / 4u;
const QUADS_N = TILE_N / 4u;
const INVOCATIONS = QUADS_M * QUADS_N;

// For each value of a patch: its position in the window and its channel, and whether it exists.
var<workgroup> taps: array<vec4<i32>, TILE_M>;
// For each row: the index of its image's first value, top and left of its window, and whether it exists.
var<workgroup> places: array<vec4<i32>, TILE_K>;
var<workgroup> patches: array<vec4<f32>, TILE_K * QUADS_M>;
var<workgroup> gradients: array<vec4<f32>, TILE_K * QUADS_N>;

fn input_at(place: vec4<i32>, tap: vec4<i32>) -> f32 {
    let line = place.y + tap.x;
    let column = place.z + tap.y;
    let exists = place.w * tap.w == 1;
    if !exists || line < 0 || line >= i32(p.height) || column < 0 || column >= i32(p.width) {
        return 0.0;
    }
    return x[u32(place.x + (line * i32(p.width) + column) * i32(p.channels) + tap.z)];
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_value = tile.y * TILE_M;
    let first_filter = tile.x * TILE_N;
    let patch_len = p.kernel_height * p.kernel_width * p.channels;
    let begin = tile.z * p.chunk;
    let end = min(begin + p.chunk, p.rows);
    for (var i = local; i < TILE_M; i += INVOCATIONS) {
        let value = first_value + i;
        let position = value / p.channels;
        taps[i] = vec4<i32>(
            i32(position / p.kernel_width),
            i32(position % p.kernel_width),
            i32(value % p.channels),
            select(0, 1, value < patch_len),
        );
    }

    let quad_m = local / QUADS_N;
    let quad_n = local % QUADS_N;
    var sums_0 = vec4<f32>();
    var sums_1 = vec4<f32>();
    var sums_2 = vec4<f32>();
    var sums_3 = vec4<f32>();
    for (var first = begin; first < end; first += TILE_K) {
        if local < TILE_K {
            let place = place_of(first + local);
            let exists = select(0, 1, first + local < end);
            places[local] = vec4<i32>(i32(place.image * p.channels), place.top, place.left, exists);
        }
        workgroupBarrier();
        for (var i = local; i < TILE_K * QUADS_M; i += INVOCATIONS) {
            let place = places[i / QUADS_M];
            let quad = (i % QUADS_M) * 4u;
            patches[i] = vec4<f32>(
                input_at(place, taps[quad]),
                input_at(place, taps[quad + 1u]),
                input_at(place, taps[quad + 2u]),
                input_at(place, taps[quad + 3u]),
            );
        }
        for (var i = local; i < TILE_K * QUADS_N; i += INVOCATIONS) {
            let row = first + i / QUADS_N;
            let filter_ = first_filter + (i % QUADS_N) * 4u;
            var values = vec4<f32>();
            if row < end {
                let at = row * p.filters + filter_;
                if filter_ < p.filters { values.x = other[at]; }
                if filter_ + 1u < p.filters { values.y = other[at + 1u]; }
                if filter_ + 2u < p.filters { values.z = other[at + 2u]; }
                if filter_ + 3u < p.filters { values.w = other[at + 3u]; }
            }
            gradients[i] = values;
        }
        workgroupBarrier();
        for (var k = 0u; k < TILE_K; k++) {
            let patch_values = patches[k * QUADS_M + quad_m];
            let gradient_values = gradients[k * QUADS_N + quad_n];
            sums_0 += patch_values.x * gradient_values;
            sums_1 += patch_values.y * gradient_values;
            sums_2 += patch_values.z * gradient_values;
            sums_3 += patch_values.w * gradient_values;
        }
        workgroupBarrier();
    }

    let sums = array<vec4<f32>, 4>(sums_0, sums_1, sums_2, sums_3);
    for (var i = 0u; i < 4u; i++) {
        let value = first_value + quad_m * 4u + i;
        for (var j = 0u; j < 4u; j++) {
            let filter_ = first_filter + quad_n * 4u + j;
            if value < patch_len && filter_ < p.filters {
                y[(tile.z * patch_len + value) * p.filters + filter_] = sums[i][j];
            }
        }
    }
}
