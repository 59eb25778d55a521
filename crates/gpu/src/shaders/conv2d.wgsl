// Convolution and dense layers as a matrix product whose left factor, the patches of the input, is never stored:
// a workgroup reads TILE_K columns of TILE_M patches and TILE_K rows of the kernel into its memory, and each invocation
// adds their products to 4 rows of 4 filters. All sums are added in the order of a patch.
//
// With TRANSPOSED it is the gradient of the input: x is the gradient of the output, a row is a position of the input,
// and its patch has the outputs whose windows contain it.
//
// TILE_M, TILE_N and TRANSPOSED are prepended.

const TILE_K = 16u;
const QUADS_M = TILE_M / 4u;
const QUADS_N = TILE_N / 4u;
const INVOCATIONS = QUADS_M * QUADS_N;
// One more than needed: invocations that store a column then use different banks of the memory.
const PATCH_STRIDE = QUADS_M + 1u;

// For each row of the tile: the index of its image's first value, top and left of its window, and whether it exists.
var<workgroup> places: array<vec4<i32>, TILE_M>;
var<workgroup> patches: array<vec4<f32>, TILE_K * PATCH_STRIDE>;
var<workgroup> kernels: array<vec4<f32>, TILE_K * QUADS_N>;

fn stored_place(row: u32) -> vec4<i32> {
    var place = place_of(row);
    if TRANSPOSED {
        let position = row % (p.out_height * p.out_width);
        place.top = i32(position / p.out_width + p.before_y);
        place.left = i32(position % p.out_width + p.before_x);
    }
    return vec4<i32>(i32(place.image * p.channels), place.top, place.left, select(0, 1, row < p.rows));
}

fn input_at(place: vec4<i32>, down: i32, across: i32, channel: u32) -> f32 {
    var row = place.y + down;
    var column = place.z + across;
    if TRANSPOSED {
        row = quotient(place.y - down, i32(p.stride_y));
        column = quotient(place.z - across, i32(p.stride_x));
    }
    let inside = place.w == 1 && row >= 0 && row < i32(p.height) && column >= 0 && column < i32(p.width);
    if !inside {
        return 0.0;
    }
    return x[u32(place.x) + u32(row * i32(p.width) + column) * p.channels + channel];
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first_row = (tile.z * tiles.y + tile.y) * TILE_M;
    let first_filter = tile.x * TILE_N;
    let patch_len = p.kernel_height * p.kernel_width * p.channels;
    for (var i = local; i < TILE_M; i += INVOCATIONS) {
        places[i] = stored_place(first_row + i);
    }
    workgroupBarrier();

    let quad_m = local / QUADS_N;
    let quad_n = local % QUADS_N;
    var sums_0 = vec4<f32>();
    var sums_1 = vec4<f32>();
    var sums_2 = vec4<f32>();
    var sums_3 = vec4<f32>();
    for (var first = 0u; first < patch_len; first += TILE_K) {
        for (var i = local; i < TILE_K * QUADS_M; i += INVOCATIONS) {
            let k = i % TILE_K;
            let quad = i / TILE_K;
            let at = first + k;
            var values = vec4<f32>();
            if at < patch_len {
                let channel = at % p.channels;
                let position = at / p.channels;
                let down = i32(position / p.kernel_width);
                let across = i32(position % p.kernel_width);
                values = vec4<f32>(
                    input_at(places[quad * 4u], down, across, channel),
                    input_at(places[quad * 4u + 1u], down, across, channel),
                    input_at(places[quad * 4u + 2u], down, across, channel),
                    input_at(places[quad * 4u + 3u], down, across, channel),
                );
            }
            patches[k * PATCH_STRIDE + quad] = values;
        }
        for (var i = local; i < TILE_K * QUADS_N; i += INVOCATIONS) {
            // Neighbors read neighbors in memory: filters, or the channels of a gradient.
            let place = select(vec2<u32>(i / QUADS_N, i % QUADS_N), vec2<u32>(i % TILE_K, i / TILE_K), TRANSPOSED);
            let k = first + place.x;
            let filter_ = first_filter + place.y * 4u;
            var values = vec4<f32>();
            if k < patch_len {
                var at = k * p.filters + filter_;
                var step = 1u;
                if TRANSPOSED {
                    at = (k / p.channels * p.filters + filter_) * p.channels + k % p.channels;
                    step = p.channels;
                }
                if filter_ < p.filters { values.x = weights[at]; }
                if filter_ + 1u < p.filters { values.y = weights[at + step]; }
                if filter_ + 2u < p.filters { values.z = weights[at + 2u * step]; }
                if filter_ + 3u < p.filters { values.w = weights[at + 3u * step]; }
            }
            kernels[place.x * QUADS_N + place.y] = values;
        }
        workgroupBarrier();
        for (var k = 0u; k < TILE_K; k++) {
            let patch_values = patches[k * PATCH_STRIDE + quad_m];
            let kernel_values = kernels[k * QUADS_N + quad_n];
            sums_0 += patch_values.x * kernel_values;
            sums_1 += patch_values.y * kernel_values;
            sums_2 += patch_values.z * kernel_values;
            sums_3 += patch_values.w * kernel_values;
        }
        workgroupBarrier();
    }

    let kernel_len = patch_len * p.filters;
    let sums = array<vec4<f32>, 4>(sums_0, sums_1, sums_2, sums_3);
    for (var i = 0u; i < 4u; i++) {
        let row = first_row + quad_m * 4u + i;
        for (var j = 0u; j < 4u; j++) {
            let filter_ = first_filter + quad_n * 4u + j;
            if row < p.rows && filter_ < p.filters {
                store(row, filter_, sums[i][j], kernel_len);
            }
        }
    }
}
