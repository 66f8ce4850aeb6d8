#include "dense.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace switchyard {
namespace {

uint16_t bf16_from_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16 | 0x40);  // NaN stays NaN
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float float_from_bf16(uint16_t value) {
  const uint32_t bits = uint32_t(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

float float_from_f16(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
  if (exponent == 0) {
    const float value = float(mantissa) * 0x1p-24f;  // subnormal: mantissa * 2^-24
    return sign ? -value : value;
  }
  const uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

size_t element_bytes(Dtype dtype) { return dtype == Dtype::f32 ? 4 : dtype == Dtype::u8 ? 1 : 2; }

uint16_t* own(OwnedMemory* owned, size_t count) {
  owned->emplace_back(new uint8_t[count * sizeof(uint16_t)]);
  return reinterpret_cast<uint16_t*>(owned->back().get());
}

}  // namespace

float element_at(const TensorView& tensor, size_t index) {
  const uint8_t* at = tensor.data + index * element_bytes(tensor.dtype);
  if (tensor.dtype == Dtype::f32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return tensor.dtype == Dtype::bf16 ? float_from_bf16(value) : float_from_f16(value);
}

bool is_float(Dtype dtype) { return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32; }

Bf16Parts split_to_bf16(const TensorView& tensor, ThreadPool* pool, OwnedMemory* owned) {
  const size_t count = tensor.bytes / element_bytes(tensor.dtype);
  Bf16Parts parts;
  if (tensor.dtype == Dtype::bf16 && reinterpret_cast<uintptr_t>(tensor.data) % alignof(uint16_t) == 0) {
    parts.data[0] = reinterpret_cast<const uint16_t*>(tensor.data);
    return parts;
  }
  const size_t wanted = tensor.dtype == Dtype::bf16 ? 1 : tensor.dtype == Dtype::f16 ? 2 : 3;
  uint16_t* data[kMaxParts] = {};
  for (size_t part = 0; part < wanted; ++part) parts.data[part] = data[part] = own(owned, count);
  std::atomic<size_t> used{1};
  pool->parallel_for(count, 1 << 16, [&](size_t begin, size_t end, int) {
    size_t used_here = 1;
    for (size_t i = begin; i < end; ++i) {
      float rest = element_at(tensor, i);
      for (size_t part = 0; part < wanted; ++part) {
        data[part][i] = bf16_from_float(rest);
        rest -= float_from_bf16(data[part][i]);
        if (!(rest - rest == 0)) rest = 0;  // the value was no finite number: the first part says so
        if (rest != 0) used_here = std::max(used_here, part + 2);
      }
    }
    size_t seen = used.load();
    while (seen < used_here && !used.compare_exchange_weak(seen, used_here)) {
    }
  });
  parts.count = std::min(used.load(), wanted);
  for (size_t part = wanted; part > parts.count; --part) {
    parts.data[part - 1] = nullptr;
    owned->pop_back();
  }
  return parts;
}

Bf16Parts transpose(const Bf16Parts& parts, size_t matrices, size_t n_in, size_t rows, ThreadPool* pool,
                    OwnedMemory* owned) {
  constexpr size_t kTile = 32;  // a tile of both sides stays in the cache
  const size_t row_tiles = (rows + kTile - 1) / kTile;
  Bf16Parts transposed;
  transposed.count = parts.count;
  for (size_t part = 0; part < parts.count; ++part) {
    uint16_t* copy = own(owned, matrices * rows * n_in);
    transposed.data[part] = copy;
    pool->parallel_for(matrices * row_tiles, 1, [&](size_t begin, size_t end, int) {
      for (size_t tile = begin; tile < end; ++tile) {
        const size_t matrix = tile / row_tiles, row_begin = tile % row_tiles * kTile;
        const size_t row_end = std::min(rows, row_begin + kTile);
        const uint16_t* from = parts.data[part] + matrix * rows * n_in;
        uint16_t* to = copy + matrix * rows * n_in;
        for (size_t i = 0; i < n_in; ++i) {
          for (size_t row = row_begin; row < row_end; ++row) to[row * n_in + i] = from[i * rows + row];
        }
      }
    });
  }
  return transposed;
}

}  // namespace switchyard
