// The experts of a GGUF file: gate and up are two tensors, or one with all gates before all ups, or, by Ollama, one as the checkpoints
// have it. Here a gate's row is always followed by its up's.
#include <algorithm>
#include <cstring>

#include "ops/ggml_blocks.h"
#include "weight_binder.h"

namespace switchyard {
// The rows of two as those of one.
Status WeightBinder::alternate(const Bf16Parts& even, const Bf16Parts& odd, const ExpertTensors& experts, size_t rows, size_t n_in,
                               Bf16Parts* out) {
  Bf16Parts& result = *out;
  result.count = std::max(even.count, odd.count);
  const size_t all = size_t(config_.num_experts) * rows, bytes = n_in * sizeof(uint16_t);
  if (Status status = check_room(experts.name, result.count * all * bytes); !status.ok()) return status;
  for (size_t part = 0; part < result.count; ++part) {
    weights_.owned_.emplace_back(new uint8_t[all * bytes]());
    uint8_t* to = weights_.owned_.back().get();
    result.data[part] = reinterpret_cast<const uint16_t*>(to);
    pool_.parallel_for(all, 64, [&](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) {
        const size_t row = i % rows, among = i / rows * experts.step + (row % 2 ? experts.odd_begin : 0) + row / 2;
        const uint16_t* from = (row % 2 ? odd : even).data[part];  // the one may have fewer parts
        if (from) std::memcpy(to + i * bytes, from + among * n_in, bytes);
      }
    });
  }
  return {};
}

// `suffix`: ".weight" or ".bias"; `shape`: of all rows of all experts.
Status WeightBinder::find_gguf_experts(size_t layer, bool gate_up, const char* suffix, const std::vector<uint64_t>& shape,
                                       ExpertTensors* out) {
  const auto name = [&](const char* stem) { return layer_name(layer, {"", "", stem}) + suffix; };
  out->step = size_t(shape[1]);
  out->name = out->odd_name = name(gate_up ? "ffn_gate_up_exps" : "ffn_down_exps");
  if (!gate_up) return find(out->name, shape, &out->tensor);
  if (files_.find(out->name)) {
    out->alternate = files_.layout() == Layout::llama_cpp;
    out->odd_begin = out->step / 2;
    Status status = find(out->name, shape, &out->tensor);
    out->odd = out->tensor;
    return status;
  }
  std::vector<uint64_t> half = shape;
  half[1] /= 2;
  out->step /= 2;
  out->alternate = true;
  out->name = name("ffn_gate_exps");
  out->odd_name = name("ffn_up_exps");
  if (Status status = find(out->name, half, &out->tensor); !status.ok()) return status;
  if (Status status = find(out->odd_name, half, &out->odd); !status.ok()) return status;
  if (out->tensor.dtype == out->odd.dtype) return {};
  return Status::error(Code::unsupported,
                       "tensors \"" + out->name + "\" and \"" + out->odd_name + "\" are of different types");
}

// Numbers that bf16 alone does not hold, or that are few.
Status WeightBinder::read_gguf_parts(const ExpertTensors& experts, size_t rows, size_t n_in, Bf16Parts* out) {
  if (!experts.alternate) return split(experts.name, experts.tensor, &weights_.owned_, out);
  OwnedMemory temporary;
  Bf16Parts even, odd;
  if (Status status = split(experts.name, experts.tensor, &temporary, &even); !status.ok()) return status;
  if (Status status = split(experts.odd_name, experts.odd, &temporary, &odd); !status.ok()) return status;
  return alternate(even, odd, experts, rows, n_in, out);
}

Status WeightBinder::read_gguf_matrices(const ExpertTensors& experts, size_t rows, size_t n_in, std::vector<Linear>* out) {
  const StoredTensor &tensor = experts.tensor, &odd = experts.odd;
  const StoredRows all{tensor.dtype, tensor.place, {}, {}, rows, n_in};
  if (!all.is_mxfp4() && !is_stored(tensor.dtype)) {
    Bf16Parts parts;
    if (Status status = read_gguf_parts(experts, rows, n_in, &parts); !status.ok()) return status;
    for (size_t expert = 0; expert < out->size(); ++expert) {
      Linear& linear = (*out)[expert];
      linear.count = parts.count;
      for (size_t part = 0; part < parts.count; ++part)
        linear.parts[part] = {.rows = rows, .n_in = n_in, .bf16 = parts.data[part] + expert * rows * n_in};
    }
    return {};
  }
  if (all.is_mxfp4()) {
    scales_[tensor.place.number()] = {experts.name, kGgmlMxfp4Bytes};
    if (odd.place.file != 0) scales_[odd.place.number()] = {experts.odd_name, kGgmlMxfp4Bytes};
  } else {
    weights_.bytes_ += int64_t(out->size() * rows * all.row_bytes()) - int64_t(tensor.bytes) -
                       int64_t(odd.place.number() != tensor.place.number() ? odd.bytes : 0);
  }
  for (size_t expert = 0; expert < out->size(); ++expert) {
    Matrix& matrix = (*out)[expert].parts[0];
    matrix = {.rows = rows, .n_in = n_in};
    StoredRows& stored = stored_[&matrix] = all;
    stored.from = all.row_place(expert * experts.step);
    if (experts.alternate) stored.odd = odd.place.after((expert * experts.step + experts.odd_begin) * all.file_row_bytes());
  }
  return {};
}

Status WeightBinder::read_gguf_experts(size_t layer, bool gate_up, size_t rows, size_t n_in, std::vector<Linear>* out) {
  ExpertTensors matrices, biases;
  if (Status status = find_gguf_experts(layer, gate_up, ".weight", {out->size(), rows, n_in}, &matrices); !status.ok())
    return status;
  if (Status status = find_gguf_experts(layer, gate_up, ".bias", {out->size(), rows}, &biases); !status.ok()) return status;
  if (!is_float(biases.tensor.dtype)) return expected_numbers(biases.name, biases.tensor);
  if (Status status = read_gguf_matrices(matrices, rows, n_in, out); !status.ok()) return status;
  Bf16Parts parts;
  if (Status status = read_gguf_parts(biases, rows, 1, &parts); !status.ok()) return status;
  add_biases(parts, rows, n_in, out);
  return {};
}

}  // namespace switchyard
