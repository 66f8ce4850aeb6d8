// Where a position's keys and values lie in the tiles of ops.h. Everything here is `static`, as in number.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops.h"

namespace switchyard {

// Cells of a tile, four bytes each.
[[maybe_unused]] static inline size_t f32_key_cell(size_t position, size_t i) { return i * kKvTile + position; }
[[maybe_unused]] static inline size_t f32_value_cell(size_t position, size_t i, size_t head_dim) {
  return position * head_dim + i;
}
// Halves of cells.
[[maybe_unused]] static inline size_t bf16_key_half(size_t position, size_t i) {
  return 2 * (i / 2 * kKvTile + position) + i % 2;
}
[[maybe_unused]] static inline size_t bf16_value_half(size_t position, size_t i, size_t head_dim) {
  return 2 * (position / 2 * head_dim + i) + position % 2;
}

// Writes one position of one head: k, v (head_dim).
[[maybe_unused]] static inline void store_kv(float* keys, float* values, size_t position, const float* k, const float* v,
                                             size_t head_dim) {
  for (size_t i = 0; i < head_dim; i++) keys[f32_key_cell(position, i)] = k[i];
  for (size_t i = 0; i < head_dim; i++) values[f32_value_cell(position, i, head_dim)] = v[i];
}
[[maybe_unused]] static inline void store_kv(uint16_t* keys, uint16_t* values, size_t position, const uint16_t* k,
                                             const uint16_t* v, size_t head_dim) {
  for (size_t i = 0; i < head_dim; i++) keys[bf16_key_half(position, i)] = k[i];
  for (size_t i = 0; i < head_dim; i++) values[bf16_value_half(position, i, head_dim)] = v[i];
}

}  // namespace switchyard
