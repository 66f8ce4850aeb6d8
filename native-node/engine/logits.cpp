#include "logits.h"

#include <algorithm>
#include <new>

#include "forward.h"

namespace switchyard {

Status check_ids(const std::vector<int32_t>& ids, int vocab_size, const char* what) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return Status::error(Code::invalid_argument, std::string(what) + "[" + std::to_string(i) + "] is " +
                                                     std::to_string(ids[i]) + ", outside the vocabulary of " +
                                                     std::to_string(vocab_size));
  }
  return {};
}

Status compute_logits(Model* model, const std::vector<int32_t>& ids, size_t prefill, std::vector<float>* out) try {
  const ModelConfig& config = model->weights->config();
  if (ids.empty()) return Status::error(Code::invalid_argument, "ids must not be empty");
  if (ids.size() > size_t(model->max_context)) {
    return Status::error(Code::invalid_argument, std::to_string(ids.size()) + " ids exceed the context of " +
                                                     std::to_string(model->max_context));
  }
  if (Status status = check_ids(ids, config.vocab_size, "ids"); !status.ok()) return status;
  const size_t first_step = prefill == 0 ? ids.size() : std::min(prefill, ids.size());

  const std::lock_guard lock(model->compute);
  std::unique_ptr<KvCache> cache;
  const size_t element_bytes = kv_element_bytes(model->mode);
  const int64_t kv_bytes = KvCache::bytes_for(config, element_bytes, int64_t(ids.size()), int64_t(first_step));
  if (Status status = KvCache::create(config, element_bytes, kv_bytes, &cache); !status.ok()) return status;
  std::unique_ptr<Forward> forward;
  if (Status status = Forward::create(*model->weights, nullptr, *model->ops, model->mode, model->pool.get(),
                                      cache.get(), first_step, &forward);
      !status.ok()) {
    return status;
  }
  out->resize(ids.size() * size_t(config.vocab_size));
  BlockTable table(cache.get());
  for (size_t begin = 0; begin < ids.size();) {
    const size_t end = begin == 0 ? first_step : begin + 1;
    if (!table.extend(begin, end))
      return Status::error(Code::internal, "the KV cache of an inspection was sized too small");
    std::vector<Row> rows;
    for (size_t i = begin; i < end; ++i) rows.push_back({&table, ids[i], i, true});
    forward->run(rows, out->data() + begin * size_t(config.vocab_size));
    begin = end;
  }
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory,
                       "not enough memory for the logits of " + std::to_string(ids.size()) + " ids");
}

}  // namespace switchyard
