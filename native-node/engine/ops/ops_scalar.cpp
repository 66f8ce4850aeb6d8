// The definition of right: plain loops that every other table is tested against.
//
// Sums are f32 in 16 lanes: element i is added to lane i % 16, then the lanes are added in order. Next to one running sum
// this cuts the rounding error by the square root of 16 and lets a compiler use the baseline vectors of any target. The
// order depends on n_in alone, hence batch invariance. Products are not fused (-ffp-contract=off).
//
// An MXFP4 weight is expanded first, FP4 * 2^(scale - 127), like in the reference. A weight beyond f32 (2 or more at scale
// 254) becomes infinite there as well.
#include <cmath>
#include <limits>

#include "i8_rows.h"
#include "noise.h"
#include "kv_tiles.h"
#include "number.h"
#include "reach.h"
#include "ops.h"

namespace switchyard {
namespace {

constexpr size_t kLanes = 16;

struct LaneSum {
  float lane[kLanes] = {};
  float total() const {
    float sum = 0;
    for (float value : lane) sum += value;
    return sum;
  }
};

float f32_at(const void* x, size_t i) { return static_cast<const float*>(x)[i]; }
float bf16_at(const void* x, size_t i) { return load_bf16(x, i); }

// dot(x[0..n), w[0..n)); x_at and w_at read one element as f32.
template <typename X, typename W>
float dot(X x_at, W w_at, size_t n) {
  LaneSum sum;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t j = 0; j < kLanes; j++) sum.lane[j] += x_at(i + j) * w_at(i + j);
  for (size_t j = 0; i + j < n; j++) sum.lane[j] += x_at(i + j) * w_at(i + j);
  return sum.total();
}

float bias_of(const MatmulArgs& args, size_t row) { return args.bias ? load_bf16(args.bias, row) : 0.0f; }

template <float (*kAt)(const void*, size_t), size_t kElementBytes>
void bf16w_matmul(const MatmulArgs& args) {
  for (size_t t = 0; t < args.tokens; t++) {
    const uint8_t* x = static_cast<const uint8_t*>(args.x) + t * args.x_stride * kElementBytes;
    for (size_t r = args.row_begin; r < args.row_end; r++) {
      const uint8_t* w = static_cast<const uint8_t*>(args.w) + r * args.n_in * 2;
      args.y[t * args.y_stride + r] =
          dot([x](size_t i) { return kAt(x, i); }, [w](size_t i) { return load_bf16(w, i); }, args.n_in) +
          bias_of(args, r);
    }
  }
}

template <float (*kAt)(const void*, size_t), size_t kElementBytes>
void mxfp4w_matmul(const MatmulArgs& args) {
  const size_t blocks = args.n_in / kMxfp4Block;
  for (size_t r = args.row_begin; r < args.row_end; r++) {
    const uint8_t* w = static_cast<const uint8_t*>(args.w) + r * blocks * kMxfp4BlockBytes;
    const uint8_t* w_scale = args.w_scale + r * blocks;
    for (size_t t = 0; t < args.tokens; t++) {
      const uint8_t* x = static_cast<const uint8_t*>(args.x) + t * args.x_stride * kElementBytes;
      LaneSum sum;
      for (size_t b = 0; b < blocks; b++) {
        float value[kMxfp4Block];
        const float scale = e8m0_scale(w_scale[b]);
        for (size_t j = 0; j < kMxfp4BlockBytes; j++) {
          const uint8_t pair = w[b * kMxfp4BlockBytes + j];
          value[2 * j] = kFp4[pair & 15] * scale;
          value[2 * j + 1] = kFp4[pair >> 4] * scale;
        }
        for (size_t i = 0; i < kMxfp4Block; i++) sum.lane[i % kLanes] += kAt(x, b * kMxfp4Block + i) * value[i];
      }
      args.y[t * args.y_stride + r] = sum.total() + bias_of(args, r);
    }
  }
}

void i8_mxfp4t_matmul(const MatmulArgs& args) {
  const size_t blocks = args.n_in / kMxfp4Block;
  for (size_t t = 0; t < args.tokens; t++) {
    const I8Block* x = static_cast<const I8Block*>(args.x) + t * args.x_stride;
    for (size_t r = args.row_begin; r < args.row_end; r++) {
      const size_t first = r / kMxfp4TileRows * blocks, lane = r % kMxfp4TileRows;
      LaneSum sum;
      for (size_t b = 0; b < blocks; b++) {
        const uint8_t* tile = static_cast<const uint8_t*>(args.w) + (first + b) * kMxfp4TileBytes + 4 * lane;
        int32_t total = 0;  // of doubled weights: at most 32 * 12 * 127
        for (size_t j = 0; j < kMxfp4BlockBytes; j++) {
          const uint8_t pair = tile[j / 4 * 64 + j % 4];
          total += kFp4Doubled[pair & 15] * x[b].q[j];
          total += kFp4Doubled[pair >> 4] * x[b].q[kMxfp4BlockBytes + j];
        }
        const float w_scale = e8m0_scale(args.w_scale[(first + b) * kMxfp4TileRows + lane]);
        sum.lane[b % kLanes] += static_cast<float>(total) * (x[b].scale * (0.5f * w_scale));
      }
      args.y[t * args.y_stride + r] = sum.total() + bias_of(args, r);
    }
  }
}

void i16_i8t_matmul(const MatmulArgs& args) {
  const size_t blocks = args.n_in / kMxfp4Block;
  for (size_t t = 0; t < args.tokens; t++) {
    const I16Block* x = static_cast<const I16Block*>(args.x) + t * args.x_stride;
    for (size_t r = args.row_begin; r < args.row_end; r++) {
      const size_t first = r / kMxfp4TileRows * blocks, lane = r % kMxfp4TileRows;
      LaneSum sum;
      for (size_t b = 0; b < blocks; b++) {
        const int8_t* tile = static_cast<const int8_t*>(args.w) + (first + b) * kI8TileBytes + 4 * lane;
        int32_t total = 0;
        for (size_t i = 0; i < kMxfp4Block; i++) total += tile[i / 4 * 64 + i % 4] * (x[b].low[i] + 256 * x[b].high[i]);
        const float scale = x[b].scale * load_bf16(args.w_scale, (first + b) * kMxfp4TileRows + lane);
        sum.lane[b % kLanes] += static_cast<float>(total) * scale;
      }
      args.y[t * args.y_stride + r] = sum.total() + bias_of(args, r);
    }
  }
}

void f32_rmsnorm(float* y, const float* x, const float* w, size_t n, float eps) {
  double squares = 0;
  for (size_t i = 0; i < n; i++) squares += static_cast<double>(x[i]) * x[i];
  const float inverse = 1.0f / std::sqrt(static_cast<float>(squares / static_cast<double>(n)) + eps);
  for (size_t i = 0; i < n; i++) y[i] = x[i] * inverse * w[i];
}

void f32_to_bf16(uint16_t* y, const float* x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = bf16_of_float(x[i]);
}

// Bits of the largest |x| of a block: integer order is magnitude order, with infinity and NaN on top.
uint32_t largest_of(const float* x) {
  uint32_t largest = 0;
  for (size_t i = 0; i < kMxfp4Block; i++) {
    const uint32_t magnitude = bits_of_float(x[i]) & 0x7fffffffu;
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

void f32_quantize_i8(I8Block* y, const float* x, size_t n) {
  for (size_t b = 0; b < n / kMxfp4Block; b++, x += kMxfp4Block) {
    I8Block& block = y[b];
    if (!begin_block(&block, largest_of(x), kMostI8)) continue;
    const float inverse = 1.0f / block.scale;
    int32_t sum = 0;
    for (size_t j = 0; j < kMxfp4BlockBytes; j++) {
      block.q[j] = static_cast<int8_t>(std::lrint(x[2 * j] * inverse));
      block.q[kMxfp4BlockBytes + j] = static_cast<int8_t>(std::lrint(x[2 * j + 1] * inverse));
      sum += block.q[j] + block.q[kMxfp4BlockBytes + j];
    }
    block.offset = -12 * sum;
  }
}

void f32_quantize_i16(I16Block* y, const float* x, size_t n) {
  for (size_t b = 0; b < n / kMxfp4Block; b++, x += kMxfp4Block) {
    I16Block& block = y[b];
    if (!begin_block(&block, largest_of(x), kMostI16)) continue;
    const float inverse = 1.0f / block.scale;
    int32_t sum = 0;
    for (size_t i = 0; i < kMxfp4Block; i++) {
      const size_t place = i % 2 * (kMxfp4Block / 2) + i / 2;
      const float z = std::nearbyint(x[i] * inverse), high = std::nearbyint(z / 256);
      block.high[place] = static_cast<int8_t>(high);
      block.low[place] = static_cast<int8_t>(std::fmax(-127.0f, std::fmin(127.0f, z - 256 * high)));
      sum += block.low[place] + 256 * block.high[place];
    }
    block.offset = -128 * sum;
  }
}

void i8v_u8w_matmul(const I8RowsArgs& args) {
  for (size_t r = args.row_begin; r < args.row_end; r++) {
    const uint8_t* w = args.w + r * args.stride;
    for (size_t t = 0; t < args.tokens; t++) {
      const I8Vector& x = args.x[t];
      int32_t high = 0, low = 0;
      for (size_t i = 0; i < args.stride; i++) low += (w[i] - 128) * x.low[i];
      for (size_t b = 0; b < x.high_count; b++)
        for (size_t i = 0; i < kI8RowAlign; i++) high += (w[x.high_at[b] + i] - 128) * x.high[b * kI8RowAlign + i];
      const int64_t sum = int64_t{256} * high + low;
      args.y[t * args.y_stride + r] = i8_row_value(static_cast<int32_t>(sum), args.w_scale[r], x.scale);
    }
  }
}

void f32_swiglu(float* y, const float* x, size_t n, float limit) {
  for (size_t k = 0; k < n; k++) {
    const float gate = x[2 * k] > limit ? limit : x[2 * k];  // written so that NaN passes through
    float up = x[2 * k + 1] > limit ? limit : x[2 * k + 1];
    up = up < -limit ? -limit : up;
    y[k] = gate / (1.0f + std::exp(-1.702f * gate)) * (up + 1.0f);
  }
}

void f32_rope(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim) {
  const size_t half = head_dim / 2;
  for (size_t h = 0; h < heads; h++, x += head_dim) {
    for (size_t i = 0; i < half; i++) {
      const float first = x[i], second = x[half + i];
      x[i] = first * cos[i] - second * sin[i];
      x[half + i] = second * cos[i] + first * sin[i];
    }
  }
}

void f32_axpy(float* y, float a, const float* x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

// Three passes for each head: scores and their maximum, exponentials and their sum, weighted values. KvAt reads an element of
// a tile: key(tile, position, i) and value(tile, position, i, head_dim).
template <typename KvAt>
void sdpa(const SdpaArgs& args) {
  const size_t dim = args.head_dim;
  float scores[kSdpaSpan];
  for (size_t g = 0; g < args.group; g++) {
    const float* q = args.q + g * dim;
    float largest = -std::numeric_limits<float>::max();
    for (size_t p = args.begin; p < args.end; p++) {
      const void* tile = args.k_tiles[p / kKvTile];
      const auto key = [tile, p](size_t i) { return KvAt::key(tile, p % kKvTile, i); };
      scores[p] = args.scale * dot([q](size_t i) { return q[i]; }, key, dim);
      if (scores[p] > largest) largest = scores[p];
    }
    LaneSum sum;
    for (size_t p = args.begin; p < args.end; p++) {
      scores[p] = std::exp(scores[p] - largest);
      sum.lane[p % kLanes] += scores[p];
    }
    float* values = args.out.values + g * dim;
    for (size_t i = 0; i < dim; i++) values[i] = 0;
    for (size_t p = args.begin; p < args.end; p++) {
      const void* tile = args.v_tiles[p / kKvTile];
      for (size_t i = 0; i < dim; i++) values[i] += scores[p] * KvAt::value(tile, p % kKvTile, i, dim);
    }
    args.out.max[g] = largest;
    args.out.sum[g] = sum.total();
  }
}

struct F32At {
  static float key(const void* tile, size_t p, size_t i) { return f32_at(tile, f32_key_cell(p, i)); }
  static float value(const void* tile, size_t p, size_t i, size_t dim) { return f32_at(tile, f32_value_cell(p, i, dim)); }
};
struct Bf16At {
  static float key(const void* tile, size_t p, size_t i) { return bf16_at(tile, bf16_key_half(p, i)); }
  static float value(const void* tile, size_t p, size_t i, size_t dim) { return bf16_at(tile, bf16_value_half(p, i, dim)); }
};

void f32_sdpa_merge(const SdpaPart& into, const SdpaPart& from, size_t group, size_t head_dim) {
  for (size_t g = 0; g < group; g++) {
    const float largest = into.max[g] > from.max[g] ? into.max[g] : from.max[g];
    const float a = std::exp(into.max[g] - largest), b = std::exp(from.max[g] - largest);
    into.max[g] = largest;
    into.sum[g] = into.sum[g] * a + from.sum[g] * b;
    for (size_t i = g * head_dim; i < (g + 1) * head_dim; i++) into.values[i] = into.values[i] * a + from.values[i] * b;
  }
}

void f32_sdpa_finish(float* out, const SdpaPart& part, const float* sinks, size_t group, size_t head_dim) {
  for (size_t g = 0; g < group; g++) {
    const float largest = part.max[g] > sinks[g] ? part.max[g] : sinks[g];
    const float weight = std::exp(part.max[g] - largest);
    const float factor = weight / (part.sum[g] * weight + std::exp(sinks[g] - largest));
    for (size_t i = g * head_dim; i < (g + 1) * head_dim; i++) out[i] = part.values[i] * factor;
  }
}

size_t f32_argmax(const float* x, size_t n) {
  size_t best = n;
  for (size_t i = 0; i < n; i++)
    if (!std::isnan(x[i]) && (best == n || x[i] > x[best])) best = i;
  return best == n ? 0 : best;  // NaN only: 0, an index that the caller can use
}

constexpr Ops kScalar = {
    .name = "scalar",
    .f32_rmsnorm = f32_rmsnorm,
    .f32_to_bf16 = f32_to_bf16,
    .f32_quantize_i8 = f32_quantize_i8,
    .f32_quantize_i16 = f32_quantize_i16,
    .f32_bf16w_matmul = bf16w_matmul<f32_at, 4>,
    .bf16_bf16w_matmul = bf16w_matmul<bf16_at, 2>,
    .f32_mxfp4w_matmul = mxfp4w_matmul<f32_at, 4>,
    .bf16_mxfp4w_matmul = mxfp4w_matmul<bf16_at, 2>,
    .i8_mxfp4t_matmul = i8_mxfp4t_matmul,
    .i16_i8t_matmul = i16_i8t_matmul,
    .i8v_u8w_matmul = i8v_u8w_matmul,
    .bf16_quantize_row = plain_quantize_row,
    .f32_gumbel = plain_gumbel,
    .f32_most_reach = plain_most_reach,
    .f32_swiglu = f32_swiglu,
    .f32_rope = f32_rope,
    .f32_axpy = f32_axpy,
    .f32kv_sdpa = sdpa<F32At>,
    .bf16kv_sdpa = sdpa<Bf16At>,
    .f32_sdpa_merge = f32_sdpa_merge,
    .f32_sdpa_finish = f32_sdpa_finish,
    .f32_argmax = f32_argmax,
};

}  // namespace

const Ops* ops_scalar() { return &kScalar; }

}  // namespace switchyard
