// Blocks of ggml's formats (https://github.com/ggml-org/ggml, ggml-common.h), a row at a time, as what the ops multiply.
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard {

inline constexpr size_t kGgmlMxfp4Bytes = 17;  // the scale, then 16 bytes of two elements each
inline constexpr size_t kGgmlQ8Bytes = 34;     // the scale as f16, then 32 integers

// Which two elements share a byte of MXFP4, low nibble first.
enum class NibbleOrder {
  halves,  // j and j + 16: ggml
  pairs    // 2j and 2j + 1: the checkpoints, and Ollama's files of them
};

// A row of MXFP4 to blocks (row_blocks, 16) and scales (row_blocks). Every bit stays.
void unpack_ggml_mxfp4(const uint8_t* row, size_t row_blocks, NibbleOrder order, uint8_t* blocks, uint8_t* scales);

// Element `index` of Q8_0, exactly.
float ggml_q8_element(const uint8_t* data, size_t index);

// A row of Q8_0 to bf16, rounded to the nearest: 11 bits of the scale times 7 of the integer do not fit. A weight is off by at
// most 1/256 of itself, where the format has already put it off by up to 1/254 of its block's largest.
void ggml_q8_to_bf16(const uint8_t* row, size_t row_blocks, uint16_t* values);

// Rows of Q8_0 as tiles of int8, like pack_i8 (i8_tiles.h) for bf16: the same integers, the scales rounded to the nearest bf16. -128,
// which the ops' integers exclude and ggml never writes, becomes -127.
void pack_ggml_q8(const uint8_t* w, size_t rows, size_t row_blocks, size_t begin, size_t end, uint8_t* tiles, uint8_t* scales);

}  // namespace switchyard
