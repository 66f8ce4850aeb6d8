// Float tensors of a checkpoint as bf16, the only dense format of the ops, without losing what a wider dtype holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "checkpoint.h"
#include "thread_pool.h"

namespace switchyard {

inline constexpr size_t kMaxParts = 3;  // 3 * 8 significant bits hold the 24 of a float

// value = data[0] + data[1] + data[2]; parts that would be zero everywhere are left out.
struct Bf16Parts {
  const uint16_t* data[kMaxParts] = {};
  size_t count = 1;
};

using OwnedMemory = std::vector<std::unique_ptr<uint8_t[]>>;

bool is_float(Dtype dtype);  // BF16, F16, F32 or Q8_0

size_t split_bytes(const StoredTensor& tensor);  // that split_to_bf16() needs at most

// Such a tensor as numbers. io_error: it could not be read.
Status read_floats(const Checkpoint& checkpoint, const StoredTensor& tensor, std::vector<float>* out);

// Such a tensor into `owned`. io_error: it could not be read.
Status split_to_bf16(const Checkpoint& checkpoint, const StoredTensor& tensor, ThreadPool* pool, OwnedMemory* owned,
                     Bf16Parts* out);

// (matrices, n_in, rows) to (matrices, rows, n_in), into `owned`.
Bf16Parts transpose(const Bf16Parts& parts, size_t matrices, size_t n_in, size_t rows, ThreadPool* pool,
                    OwnedMemory* owned);

}  // namespace switchyard
