// All logits of one sequence, outside the scheduler: for inspection and for the tests against other implementations.
#pragma once

#include <cstdint>
#include <vector>

#include "model.h"

namespace switchyard {

// (ids.size(), vocab_size); the first `prefill` ids in one step (0: all), the rest one by one.
Status compute_logits(Model* model, const std::vector<int32_t>& ids, size_t prefill, std::vector<float>* out);

// invalid_argument with the first id that lies outside the vocabulary.
Status check_ids(const std::vector<int32_t>& ids, int vocab_size, const char* what);

}  // namespace switchyard
