// Convolution and dense layers as a matrix product whose left factor, the patches of the input, is never stored:
// a workgroup reads TILE_K columns of TILE_M patches and TILE_K rows of the kernel into its memory, and each invocation
// adds their products to 4 rows of 4 filters. All sums are added in the order of a patch.
//
// TILE_M and TILE_N are prepended.

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
    let place = place_of(row);
    return vec4<i32>(i32(place.image * p.channels), place.top, place.left, select(0, 1, row < p.rows));
}

fn input_at(place: vec4<i32>, down: i32, across: i32, channel: u32) -> f32 {
    let row = place.y + down;
    let column = place.z + across;
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
            let k = first + i / QUADS_N;
            let filter_ = first_filter + (i % QUADS_N) * 4u;
            var values = vec4<f32>();
            if k < patch_len {
                let at = k * p.filters + filter_;
                if filter_ < p.filters { values.x = weights[at]; }
                if filter_ + 1u < p.filters { values.y = weights[at + 1u]; }
                if filter_ + 2u < p.filters { values.z = weights[at + 2u]; }
                if filter_ + 3u < p.filters { values.w = weights[at + 3u]; }
            }
            kernels[i] = values;
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
