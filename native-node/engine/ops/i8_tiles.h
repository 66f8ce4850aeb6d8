// bf16 rows of a checkpoint as tiles of int8 (ops.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard {

// Packs the tile rows [begin, end) of a matrix of `rows` rows, w (rows, n_in) bf16 at any address, to tiles
// (end - begin, n_in / 32, kI8TileBytes) and bf16 scales (end - begin, n_in / 32, 16): the nearest integers to w / scale,
// where scale is the largest magnitude of the block / 127, rounded up to bf16. So no weight is off by more than half a scale,
// 0.4 % of its block's largest. A block with an infinity or NaN gets the scale NaN. Rows beyond the matrix are zeros.
void pack_i8(const void* w, size_t rows, size_t n_in, size_t begin, size_t end, uint8_t* tiles, uint8_t* scales);

}  // namespace switchyard
