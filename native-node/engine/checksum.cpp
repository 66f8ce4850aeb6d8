// Eight lanes side by side, with two sums each: of the words as they are, and of the products of their halves under a key that
// moves on with every stripe, so that words in another order give another sum. The idea is XXH3's:
// https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
// All instruction sets in one file: they differ in nothing but the width of a vector.
#include "checksum.h"

#include <cstring>

namespace switchyard {
namespace {

constexpr size_t kLanes = 8, kStripe = kLanes * sizeof(uint64_t);
constexpr uint64_t kStep = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio

uint64_t mix(uint64_t value) {  // splitmix64's finaliser: a bijection
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

struct Sums {
  uint64_t words[kLanes] = {}, products[kLanes] = {}, keys[kLanes];
};

// Adds whole stripes. `Vector` is a GCC vector of 64-bit words.
template <typename Vector>
[[gnu::always_inline]] inline void add_stripes(const uint8_t* from, size_t stripes, Sums* sums) {
  constexpr size_t kVectors = kStripe / sizeof(Vector);
  Vector words[kVectors], products[kVectors], keys[kVectors];
  std::memcpy(words, sums->words, kStripe);
  std::memcpy(products, sums->products, kStripe);
  std::memcpy(keys, sums->keys, kStripe);
  for (; stripes > 0; --stripes, from += kStripe) {
#pragma GCC unroll 4
    for (size_t i = 0; i < kVectors; ++i) {
      Vector word;
      std::memcpy(&word, from + i * sizeof word, sizeof word);
      const Vector keyed = word ^ keys[i];
      words[i] += word;
      products[i] += (keyed & 0xffffffff) * (keyed >> 32);
      keys[i] += kStep;
    }
  }
  std::memcpy(sums->words, words, kStripe);
  std::memcpy(sums->products, products, kStripe);
  std::memcpy(sums->keys, keys, kStripe);
}

using AddStripes = void (*)(const uint8_t* from, size_t stripes, Sums* sums);

void add_stripes_16(const uint8_t* from, size_t stripes, Sums* sums) {
  using Vector [[gnu::vector_size(16)]] = uint64_t;
  add_stripes<Vector>(from, stripes, sums);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void add_stripes_32(const uint8_t* from, size_t stripes, Sums* sums) {
  using Vector [[gnu::vector_size(32)]] = uint64_t;
  add_stripes<Vector>(from, stripes, sums);
}

[[gnu::target("avx512f,avx512dq")]] void add_stripes_64(const uint8_t* from, size_t stripes, Sums* sums) {
  using Vector [[gnu::vector_size(64)]] = uint64_t;
  add_stripes<Vector>(from, stripes, sums);
}
#endif

AddStripes widest() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return add_stripes_64;
  if (__builtin_cpu_supports("avx2")) return add_stripes_32;
#endif
  return add_stripes_16;
}

}  // namespace

uint64_t checksum(const void* data, size_t bytes, uint64_t seed) {
  static const AddStripes add = widest();
  Sums sums;
  for (size_t lane = 0; lane < kLanes; ++lane) sums.keys[lane] = mix(lane + 1);
  const uint8_t* from = static_cast<const uint8_t*>(data);
  const size_t whole = bytes / kStripe * kStripe;
  add(from, whole / kStripe, &sums);
  uint8_t rest[kStripe] = {};
  if (bytes > whole) std::memcpy(rest, from + whole, bytes - whole);
  add(rest, 1, &sums);
  uint64_t result = mix(bytes ^ mix(seed));
  for (size_t lane = 0; lane < kLanes; ++lane)
    result = mix(mix(result ^ sums.words[lane]) + sums.products[lane]);
  return result;
}

}  // namespace switchyard
