// A checksum that is faster than memory: for large blocks whose bits may have rotted, not against malice.
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard {

// A change goes unnoticed once in 2^64. `seed` stands for what came before. Little-endian machines agree on it, whatever
// their instruction set.
uint64_t checksum(const void* data, size_t bytes, uint64_t seed = 0);

}  // namespace switchyard
