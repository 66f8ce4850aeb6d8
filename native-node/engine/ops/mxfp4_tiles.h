// MXFP4 rows of a checkpoint as tiles (ops.h): a copy that moves four bytes at a time and computes nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard {

// Tiles that `rows` rows take.
size_t mxfp4_tile_rows(size_t rows);

// Packs the tile rows [begin, end) of a matrix of `rows` rows: blocks (rows, row_blocks, 16), scales (rows, row_blocks)
// to tiles (end - begin, row_blocks, 256) and tile_scales (end - begin, row_blocks, 16). Rows beyond the matrix are zeros.
void pack_mxfp4(const uint8_t* blocks, const uint8_t* scales, size_t rows, size_t row_blocks, size_t begin, size_t end,
                uint8_t* tiles, uint8_t* tile_scales);

}  // namespace switchyard
