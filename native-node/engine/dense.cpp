#include "dense.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "ops/ggml_blocks.h"

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

constexpr size_t kQ8Elements = 32;  // of a block

// Of so many elements, whole blocks.
size_t bytes_of(Dtype dtype, size_t elements) {
  if (dtype == Dtype::q8_0) return elements / kQ8Elements * kGgmlQ8Bytes;
  return elements * (dtype == Dtype::f32 ? 4 : 2);
}

size_t elements_of(const StoredTensor& tensor) {
  if (tensor.dtype == Dtype::q8_0) return tensor.bytes / kGgmlQ8Bytes * kQ8Elements;
  return tensor.bytes / bytes_of(tensor.dtype, 1);
}

size_t most_parts(Dtype dtype) { return dtype == Dtype::bf16 ? 1 : dtype == Dtype::f16 ? 2 : 3; }

uint16_t* own(OwnedMemory* owned, size_t count) {
  owned->emplace_back(new uint8_t[count * sizeof(uint16_t)]);
  return reinterpret_cast<uint16_t*>(owned->back().get());
}

// Element `index` of a float tensor, at any alignment.
float element_at(const uint8_t* data, Dtype dtype, size_t index) {
  if (dtype == Dtype::q8_0) return ggml_q8_element(data, index);
  const uint8_t* at = data + bytes_of(dtype, index);
  if (dtype == Dtype::f32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return dtype == Dtype::bf16 ? float_from_bf16(value) : float_from_f16(value);
}

}  // namespace

bool is_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32 || dtype == Dtype::q8_0;
}

size_t split_bytes(const StoredTensor& tensor) { return elements_of(tensor) * most_parts(tensor.dtype) * sizeof(uint16_t); }

Status read_floats(const Checkpoint& checkpoint, const StoredTensor& tensor, std::vector<float>* out) {
  std::vector<uint8_t> bytes(tensor.bytes);
  if (const ReadError error = checkpoint.read(tensor.place, bytes.size(), bytes.data())) return read_failed(error);
  out->resize(elements_of(tensor));
  for (size_t i = 0; i < out->size(); ++i) (*out)[i] = element_at(bytes.data(), tensor.dtype, i);
  return {};
}

Status split_to_bf16(const Checkpoint& checkpoint, const StoredTensor& tensor, ThreadPool* pool, OwnedMemory* owned,
                     Bf16Parts* out) {
  const size_t count = elements_of(tensor);
  Bf16Parts parts;
  const size_t wanted = most_parts(tensor.dtype);
  uint16_t* data[kMaxParts] = {};
  for (size_t part = 0; part < wanted; ++part) parts.data[part] = data[part] = own(owned, count);
  constexpr size_t kPiece = 1 << 16;  // elements, whole blocks
  std::vector<std::vector<uint8_t>> buffers(size_t(pool->size()),
                                            std::vector<uint8_t>(bytes_of(tensor.dtype, std::min(kPiece, count))));
  std::atomic<size_t> used{1};
  FirstReadError failure;
  pool->parallel_for(count, kPiece, [&](size_t first, size_t last, int thread) {
    for (size_t begin = first; begin < last; begin += kPiece) {  // one thread alone gets everything at once
      const size_t end = std::min(last, begin + kPiece);
      uint8_t* bytes = buffers[size_t(thread)].data();
      if (failure.is_set()) return;
      const Place place = tensor.place.after(bytes_of(tensor.dtype, begin));
      if (failure.keep(checkpoint.read(place, bytes_of(tensor.dtype, end - begin), bytes))) return;
      size_t used_here = 1;
      for (size_t i = begin; i < end; ++i) {
        float rest = element_at(bytes, tensor.dtype, i - begin);
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
    }
  });
  if (failure.is_set()) return failure.status();
  parts.count = std::min(used.load(), wanted);
  for (size_t part = wanted; part > parts.count; --part) {
    parts.data[part - 1] = nullptr;
    owned->pop_back();
  }
  *out = parts;
  return {};
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
