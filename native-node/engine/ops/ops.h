// The operations of the forward pass as a table of function pointers, chosen once per process.
// Ops know arrays, not layers. `ops_scalar.cpp` is the definition of right; every other table is tested against it.
//
// Two promises that the engine builds on:
// - Batch invariance: the result of one (token, row) never depends on how many tokens or rows one call covers. Prefill in
//   one go, in pieces and token by token are therefore bit-equal within one mode and ISA.
// - No allocation, no failure: sizes are checked by the caller; n_in of MXFP4 matrices is a multiple of 32.
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard {

inline constexpr size_t kMxfp4Block = 32;       // elements that share one scale
inline constexpr size_t kMxfp4BlockBytes = 16;  // two elements a byte, low nibble first (elements 2j, 2j+1)

// MXFP4 for the integer product: tiles of 16 rows x one block, so that a vector holds the same four bytes of 16 rows and a
// decoded vector serves every token. Tile (i, b) of a matrix is number i * (n_in / 32) + b; missing rows are zeros.
// pack_mxfp4 (mxfp4_tiles.h) makes them of a checkpoint's rows.
inline constexpr size_t kMxfp4TileRows = 16;
inline constexpr size_t kMxfp4TileBytes = kMxfp4TileRows * kMxfp4BlockBytes;  // byte 64 j + 4 r + k is byte 4 j + k of row r

// int8 weights in the same order: byte 64 j + 4 r + k of tile (i, b) is the integer 4 j + k of row r's block, the 16 even
// elements first, then the odd ones; weight = scale * integer, with a bf16 scale for each row of the tile. pack_i8
// (i8_tiles.h) makes them of bf16 rows; integers are in [-127, 127].
inline constexpr size_t kI8TileBytes = kMxfp4TileRows * kMxfp4Block;

// Activations of the integer products. The 16 even elements come first, then the 16 odd ones: the order in which the
// nibbles of an MXFP4 block unpack.
struct I8Block {
  int8_t q[kMxfp4Block];
  float scale;     // x = scale * q
  int32_t offset;  // -12 * sum(q): what a dot product with weights 2v + 12, which are unsigned, has to begin with
};

// Activations of int8 tiles, in the same order: x = scale * (low + 256 * high), all of low and high in [-127, 127]. About 15
// bits, so that only the weights lose precision.
struct I16Block {
  int8_t low[kMxfp4Block], high[kMxfp4Block];
  float scale;
  int32_t offset;  // -128 * sum(low + 256 * high): what a dot product with weights q + 128, unsigned, has to begin with
};

// y[t][r] = dot(x[t], w[r]) + bias[r] for t in [0, tokens), r in [row_begin, row_end).
struct MatmulArgs {
  const void* x;    // (tokens, n_in) f32 or bf16, or (tokens, n_in / 32) I8Block or I16Block, by the op's name
  size_t x_stride;  // elements (i8, i16: blocks) from token to token in x
  size_t tokens;
  const void* w;           // (rows, n_in) bf16, MXFP4 blocks (rows, n_in / 32, 16 bytes), or for i8 tiles (rows / 16, n_in / 32, 256 or 512 bytes)
  const uint8_t* w_scale;  // E8M0, MXFP4 only: (rows, n_in / 32), of tiles (rows / 16, n_in / 32, 16); of int8 tiles bf16
  const uint16_t* bias;    // (rows) bf16, or nullptr
  size_t n_in;
  float* y;         // (tokens, rows), f32
  size_t y_stride;  // elements from token to token in y
  size_t row_begin, row_end;
};

// Cached keys and values lie in tiles of kKvTile positions of one key/value head, made for products without sums across
// lanes (kv_tiles.h). A tile is a matrix of cells of four bytes. A cell of f32 is one element; a cell of bf16 is two, the
// lower half first: of keys elements 2i and 2i + 1 of one position, of values one element of positions 2i and 2i + 1.
//   keys:   f32 (head_dim, kKvTile), bf16 (head_dim / 2, kKvTile); head_dim is even
//   values: f32 (kKvTile, head_dim), bf16 (kKvTile / 2, head_dim)
inline constexpr size_t kKvTile = 32;

// What attending a part of the positions gives: the largest score, the sum of e^(score - max), and the values summed with
// these weights, for each query head.
struct SdpaPart {
  float* max;     // (group)
  float* sum;     // (group)
  float* values;  // (group, head_dim)
};

// One query position against a span of cached positions; `group` query heads share one key/value head. A cell of a position
// outside [begin, end) has no influence, whatever stands in it.
inline constexpr size_t kSdpaSpan = 512;  // positions of one call at most
inline constexpr size_t kSdpaAhead = 4;   // tiles that are asked for before they are read
struct SdpaArgs {
  const float* q;  // (group, head_dim)
  size_t group, head_dim;
  const void* const* k_tiles;  // tile i holds the span's positions from i * kKvTile on
  const void* const* v_tiles;
  size_t begin, end;  // attended positions, counted in the span; begin < end <= kSdpaSpan
  const void* const* next_tiles;  // next_count tiles that will be read after this span: a hint
  size_t next_count;
  float scale;        // 1 / sqrt(head_dim)
  float* scratch;     // sdpa_scratch(group, head_dim) floats
  SdpaPart out;
};
constexpr size_t sdpa_scratch(size_t group, size_t head_dim) { return group * (kSdpaSpan + head_dim) + 16; }

// Rows of int8 weights, stored as bytes 128 + q so that they are the unsigned side of a product: w = scale * q, q in
// [-127, 127]. Rows are padded to a multiple of kI8RowAlign.
inline constexpr size_t kI8RowAlign = 64, kMostI8Row = 65536;

// Activations of such rows: x = scale * (low + 256 * high), all of low and high in [-127, 127]. Of `high` only those blocks of
// kI8RowAlign elements are kept that are not all zero: a few giants then cost the others no precision, and no second product
// either. No sum of q * x may leave 32 bits: 127 times the sum of |low + 256 * high| has to fit.
struct I8Vector {
  const int8_t* low;        // (stride), zeros behind the last element
  const int8_t* high;       // (high_count, kI8RowAlign)
  const uint32_t* high_at;  // (high_count): the element at which each block begins
  size_t high_count;
  int32_t sum;              // of low + 256 * high
  float scale;
};

struct I8RowsArgs {
  const I8Vector* x;  // (tokens)
  size_t tokens;
  const uint8_t* w;      // (rows, stride)
  const float* w_scale;  // (rows)
  size_t stride;
  float* y;  // (tokens, rows)
  size_t y_stride;
  size_t row_begin, row_end;
};

// What became of a row of bf16 weights as int8. The norms are upper bounds of the true ones.
struct I8Row {
  float scale;
  float error;  // ||w - scale * q||
  float norm;   // ||w||; not finite where a weight is not
};

// Rows of the screened head, whose scores can reach s + 2^-20 (|s| + c) with
// s = (y + (errors * error_factor + norms * norm_factor + tiny)) * inverse + noise, each operation rounded to f32; c is 32
// where there is noise, else 0.
struct ReachArgs {
  const float *y, *errors, *norms;  // (n)
  const float* noise;               // (n), or nullptr
  float error_factor, norm_factor, tiny, inverse;
};

struct Ops {
  const char* name;  // "scalar", "avx2", "avx512", "neon"

  // y = x / sqrt(mean(x^2) + eps) * w, all f32 (n).
  void (*f32_rmsnorm)(float* y, const float* x, const float* w, size_t n, float eps);

  // Round to nearest even; NaN stays NaN.
  void (*f32_to_bf16)(uint16_t* y, const float* x, size_t n);

  // Per block of 32: scale = max|x| / 127, q = round(x / scale).
  void (*f32_quantize_i8)(I8Block* y, const float* x, size_t n);

  // Per block of 32: scale = max|x| / (127 + 256 * 127), z = round(x / scale), high = round(z / 256), low = z - 256 * high; of
  // the latter -128 and 128 become -127 and 127. Equal in every table, bit for bit, as the former.
  void (*f32_quantize_i16)(I16Block* y, const float* x, size_t n);

  void (*f32_bf16w_matmul)(const MatmulArgs& args);    // exact mode: f32 activations, weights expanded
  void (*bf16_bf16w_matmul)(const MatmulArgs& args);   // bf16 activations, f32 accumulation
  void (*f32_mxfp4w_matmul)(const MatmulArgs& args);   // exact mode
  void (*bf16_mxfp4w_matmul)(const MatmulArgs& args);  // bf16 mode; MXFP4 expands to bf16 without loss
  void (*i8_mxfp4t_matmul)(const MatmulArgs& args);    // fast mode, tiles: integer dots, one float multiply per block

  void (*i16_i8t_matmul)(const MatmulArgs& args);      // the same with int8 tiles

  // Equal in every table, bit for bit: S is the sum of q * (low + 256 * high), an exact integer, and
  // y = S * (w_scale * x.scale), S and each operation rounded to f32.
  void (*i8v_u8w_matmul)(const I8RowsArgs& args);

  // w (n) bf16 to q (n): scale = max|w| / 127, q = round(w / scale). Equal in every table, bit for bit.
  I8Row (*bf16_quantize_row)(int8_t* q, const uint16_t* w, size_t n);

  // Gumbel noise of ids [first, first + n): a pure function of (key, id), equal in every table, bit for bit (noise.h).
  void (*f32_gumbel)(float* y, uint64_t key, size_t first, size_t n);

  // The largest of n reaches, n >= 1, of numbers that are finite (reach.h). Equal in every table.
  float (*f32_most_reach)(const ReachArgs& args, size_t n);

  // x (2n) interleaved: gate = x[2k], up = x[2k+1];
  // y[k] = g * sigmoid(1.702 g) * (u + 1), g = min(gate, limit), u = clamp(up, -limit, limit).
  void (*f32_swiglu)(float* y, const float* x, size_t n, float limit);

  // Half-split rotation in place: x (heads, head_dim), cos/sin (head_dim / 2).
  void (*f32_rope)(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim);

  // y += a * x (n).
  void (*f32_axpy)(float* y, float a, const float* x, size_t n);

  void (*f32kv_sdpa)(const SdpaArgs& args);   // f32 keys and values: exact mode
  void (*bf16kv_sdpa)(const SdpaArgs& args);  // bf16 keys and values; queries and weights may be rounded to bf16
  // into = both parts together.
  void (*f32_sdpa_merge)(const SdpaPart& into, const SdpaPart& from, size_t group, size_t head_dim);
  // out (group, head_dim) = the softmax's result. The sink (group), one learned logit per head, joins it and has no value.
  void (*f32_sdpa_finish)(float* out, const SdpaPart& part, const float* sinks, size_t group, size_t head_dim);

  // Largest element's index, the lowest one on ties; n >= 1. NaN never wins.
  size_t (*f32_argmax)(const float* x, size_t n);
};

enum class Isa { automatic, scalar, avx2, avx512, neon };

// The table for `isa`; automatic picks the best this CPU runs (environment variable SWITCHYARD_ISA overrides automatic).
// nullptr when the CPU or the build lacks it.
const Ops* select_ops(Isa isa);

// Each returns nullptr where this build does not contain it.
const Ops* ops_scalar();
const Ops* ops_avx2();
const Ops* ops_avx512();
const Ops* ops_neon();

}  // namespace switchyard
