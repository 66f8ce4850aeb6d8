#include "weight_binder.h"

#include <algorithm>

#include "gguf.h"

namespace switchyard {

Status WeightBinder::find(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out) {
  const StoredTensor* tensor = files_.find(name);
  if (!tensor) return Status::error(Code::invalid_file, "the checkpoint lacks tensor \"" + name + "\"");
  if (tensor->shape != shape) {
    StoredTensor wanted{tensor->dtype, shape, {}, 0};
    return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + tensor->describe() +
                                                 ", " + shape_source() + " for " + wanted.describe());
  }
  weights_.bytes_ += int64_t(tensor->bytes);
  known_.insert(name);
  *out = *tensor;
  return {};
}

Status WeightBinder::find_floats(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out) {
  if (Status status = find(name, shape, out); !status.ok()) return status;
  return is_float(out->dtype) ? Status() : expected_numbers(name, *out);
}

Status WeightBinder::expected_numbers(const std::string& name, const StoredTensor& tensor) const {
  return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + tensor.describe() + ", expected " +
                                               (is_gguf() ? "BF16, F16, F32 or Q8_0" : "BF16, F16 or F32"));
}

Status WeightBinder::find_bytes(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out) {
  if (Status status = find(name, shape, out); !status.ok()) return status;
  if (out->dtype == Dtype::u8) return {};
  return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + out->describe() + ", expected U8");
}

// Whether there is memory for what a tensor is converted to. A look costs as much as reading a small tensor: not at every one.
Status WeightBinder::check_room(const std::string& name, size_t bytes) {
  constexpr size_t kUnchecked = size_t(32) << 20;
  unchecked_ += bytes;
  if (unchecked_ < kUnchecked) return {};
  unchecked_ = 0;
  return check_memory("the numbers of tensor \"" + name + "\"", bytes);
}

Status WeightBinder::split(const std::string& name, const StoredTensor& tensor, OwnedMemory* owned, Bf16Parts* out) {
  if (Status status = check_room(name, split_bytes(tensor)); !status.ok()) return status;
  return split_to_bf16(files_, tensor, &pool_, owned, out);
}

Status WeightBinder::read_vector(const std::string& name, size_t size, std::vector<float>* out) {
  StoredTensor tensor;
  if (Status status = find_floats(name, {size}, &tensor); !status.ok()) return status;
  return read_floats(files_, tensor, out);
}

Status WeightBinder::read_parts(const std::string& name, const std::vector<uint64_t>& shape, Bf16Parts* out) {
  StoredTensor tensor;
  if (Status status = find_floats(name, shape, &tensor); !status.ok()) return status;
  return split(name, tensor, &weights_.owned_, out);
}

// A tensor's rows as one matrix after the other. Those of BF16 and Q8_0 are brought by make_resident(). `bias` may be empty: none.
Status WeightBinder::read_slices(const std::string& weight, const std::string& bias, size_t n_in,
                                 std::span<const Slice> slices) {
  size_t rows = 0;
  for (const Slice& slice : slices) rows += slice.rows;
  StoredTensor tensor;
  if (Status status = find_floats(weight, {rows, n_in}, &tensor); !status.ok()) return status;
  const bool stored = is_stored(tensor.dtype);
  if (stored) weights_.bytes_ += int64_t(rows * n_in * sizeof(uint16_t)) - int64_t(tensor.bytes);
  Bf16Parts weights, biases;
  if (Status status = stored ? Status() : split(weight, tensor, &weights_.owned_, &weights);
      !status.ok()) {
    return status;
  }
  if (bias.empty()) {
    biases.count = 0;
  } else if (Status status = read_parts(bias, {rows}, &biases); !status.ok()) {
    return status;
  }
  size_t first = 0;
  for (const Slice& slice : slices) {
    Linear& linear = *slice.linear;
    linear.count = std::max(weights.count, biases.count);
    for (size_t part = 0; part < linear.count; ++part) {
      linear.parts[part] = {.rows = slice.rows,
                            .n_in = n_in,
                            .bf16 = weights.data[part] ? weights.data[part] + first * n_in : nullptr,
                            .bias = biases.data[part] ? biases.data[part] + first : nullptr};
    }
    if (stored) {
      const StoredRows all{tensor.dtype, tensor.place, {}, {}, rows, n_in};
      stored_[&linear.parts[0]] = {tensor.dtype, all.row_place(first), {}, {}, slice.rows, n_in};
    }
    first += slice.rows;
  }
  return {};
}

Status WeightBinder::read_linear(const std::string& weight, const std::string& bias, size_t rows, size_t n_in,
                                 Linear* out) {
  const Slice all[] = {{rows, out}};
  return read_slices(weight, bias, n_in, all);
}

// The original layout stacks q, k and v in one matrix, and so do some GGUF files.
Status WeightBinder::read_attention(size_t layer, LayerWeights* out) {
  const size_t hidden = size_t(config_.hidden_size), q_size = config_.q_size(), kv_size = config_.kv_size();
  const bool has_bias = config_.attention_bias;
  const auto read = [&](const Name& weight, const Name& bias, size_t n_in, std::span<const Slice> slices) {
    return read_slices(layer_name(layer, weight), has_bias ? layer_name(layer, bias) : "", n_in, slices);
  };
  const Name stacked{"self_attn.qkv_proj.weight", "attn.qkv.weight", "attn_qkv.weight"};
  const Slice slices[] = {{q_size, &out->q}, {kv_size, &out->k}, {kv_size, &out->v}};
  Status status;
  if (files_.layout() == Layout::original || files_.find(layer_name(layer, stacked))) {
    status = read(stacked, {"self_attn.qkv_proj.bias", "attn.qkv.bias", "attn_qkv.bias"}, hidden, slices);
  } else {
    const Name weights[] = {{"self_attn.q_proj.weight", "", "attn_q.weight"},
                            {"self_attn.k_proj.weight", "", "attn_k.weight"},
                            {"self_attn.v_proj.weight", "", "attn_v.weight"}};
    const Name biases[] = {{"self_attn.q_proj.bias", "", "attn_q.bias"},
                           {"self_attn.k_proj.bias", "", "attn_k.bias"},
                           {"self_attn.v_proj.bias", "", "attn_v.bias"}};
    for (size_t i = 0; i < 3 && status.ok(); ++i) status = read(weights[i], biases[i], hidden, {&slices[i], 1});
  }
  const Slice all{hidden, &out->o};
  if (status.ok()) {
    status = read({"self_attn.o_proj.weight", "attn.out.weight", "attn_output.weight"},
                  {"self_attn.o_proj.bias", "attn.out.bias", "attn_output.bias"}, q_size, {&all, 1});
  }
  if (!status.ok()) return status;
  return read_vector(layer_name(layer, {"self_attn.sinks", "attn.sinks", "attn_sinks.weight"}),
                     size_t(config_.num_attention_heads), &out->sinks);
}

Status WeightBinder::read_mxfp4_experts(const std::string& blocks, const std::string& scales, size_t rows, size_t n_in,
                                        std::vector<Linear>* out) {
  const size_t experts = out->size(), row_blocks = n_in / 32;
  StoredTensor block_tensor, scale_tensor;
  if (Status status = find_bytes(blocks, {experts, rows, row_blocks, 16}, &block_tensor); !status.ok()) return status;
  if (Status status = find_bytes(scales, {experts, rows, row_blocks}, &scale_tensor); !status.ok()) return status;
  scales_[scale_tensor.place.number()] = {scales, 1};
  for (size_t expert = 0; expert < experts; ++expert) {
    Matrix& matrix = (*out)[expert].parts[0];
    matrix = {.rows = rows, .n_in = n_in};
    stored_[&matrix] = {Dtype::u8, block_tensor.place.after(expert * rows * row_blocks * 16), {},
                        scale_tensor.place.after(expert * rows * row_blocks), rows, n_in};
  }
  return {};
}

// Unquantised experts are stored as (experts, n_in, rows), for x @ W; the ops want rows of n_in.
Status WeightBinder::read_dense_experts(const std::string& name, size_t rows, size_t n_in, std::vector<Linear>* out) {
  const size_t experts = out->size();
  StoredTensor tensor;
  if (Status status = find_floats(name, {experts, n_in, rows}, &tensor); !status.ok()) return status;
  OwnedMemory temporary;
  Bf16Parts stored;
  if (Status status = split(name, tensor, &temporary, &stored); !status.ok()) return status;
  if (Status status = check_room(name, stored.count * experts * rows * n_in * sizeof(uint16_t)); !status.ok()) return status;
  const Bf16Parts parts = transpose(stored, experts, n_in, rows, &pool_, &weights_.owned_);
  for (size_t expert = 0; expert < experts; ++expert) {
    Linear& linear = (*out)[expert];
    linear.count = parts.count;
    for (size_t part = 0; part < parts.count; ++part) {
      linear.parts[part] = {.rows = rows, .n_in = n_in, .bf16 = parts.data[part] + expert * rows * n_in};
    }
  }
  return {};
}

Status WeightBinder::read_experts(size_t layer, const Name& blocks, const Name& scales, const Name& dense,
                                  const Name& bias, size_t rows, size_t n_in, std::vector<Linear>* out) {
  const size_t experts = size_t(config_.num_experts);
  const std::string dense_name = layer_name(layer, dense), blocks_name = layer_name(layer, blocks);
  const bool is_dense = files_.find(dense_name) && !files_.find(blocks_name);
  if (Status status = is_dense ? read_dense_experts(dense_name, rows, n_in, out)
                               : read_mxfp4_experts(blocks_name, layer_name(layer, scales), rows, n_in, out);
      !status.ok()) {
    return status;
  }
  Bf16Parts biases;
  if (Status status = read_parts(layer_name(layer, bias), {experts, rows}, &biases); !status.ok()) return status;
  add_biases(biases, rows, n_in, out);
  return {};
}

// (experts, rows)
void WeightBinder::add_biases(const Bf16Parts& biases, size_t rows, size_t n_in, std::vector<Linear>* out) {
  for (size_t expert = 0; expert < out->size(); ++expert) {
    Linear& linear = (*out)[expert];
    linear.count = std::max(linear.count, biases.count);
    for (size_t part = 0; part < linear.count; ++part) {
      linear.parts[part].rows = rows;
      linear.parts[part].n_in = n_in;
      if (biases.data[part]) linear.parts[part].bias = biases.data[part] + expert * rows;
    }
  }
}

Status WeightBinder::read_layer_experts(size_t i, LayerWeights* layer) {
  const size_t hidden = size_t(config_.hidden_size), intermediate = size_t(config_.intermediate_size);
  layer->gate_up.resize(size_t(config_.num_experts));
  layer->down.resize(size_t(config_.num_experts));
  if (is_gguf()) {
    if (Status status = read_gguf_experts(i, true, 2 * intermediate, hidden, &layer->gate_up); !status.ok()) return status;
    return read_gguf_experts(i, false, hidden, intermediate, &layer->down);
  }
  if (Status status =
          read_experts(i, {"mlp.experts.gate_up_proj_blocks", "mlp.mlp1_weight.blocks", ""},
                       {"mlp.experts.gate_up_proj_scales", "mlp.mlp1_weight.scales", ""},
                       {"mlp.experts.gate_up_proj", "mlp.mlp1_weight", ""},
                       {"mlp.experts.gate_up_proj_bias", "mlp.mlp1_bias", ""}, 2 * intermediate, hidden, &layer->gate_up);
      !status.ok()) {
    return status;
  }
  return read_experts(i, {"mlp.experts.down_proj_blocks", "mlp.mlp2_weight.blocks", ""},
                      {"mlp.experts.down_proj_scales", "mlp.mlp2_weight.scales", ""},
                      {"mlp.experts.down_proj", "mlp.mlp2_weight", ""}, {"mlp.experts.down_proj_bias", "mlp.mlp2_bias", ""},
                      hidden, intermediate, &layer->down);
}

Status WeightBinder::read_layer(size_t i) {
  const size_t hidden = size_t(config_.hidden_size);
  LayerWeights& layer = weights_.layers_[i];
  Status status = read_vector(layer_name(i, kFirstNorm), hidden, &layer.attn_norm);
  if (status.ok()) status = read_attention(i, &layer);
  if (status.ok()) {
    status = read_vector(layer_name(i, {"post_attention_layernorm.weight", "mlp.norm.scale", "post_attention_norm.weight"}),
                         hidden, &layer.mlp_norm);
  }
  if (status.ok()) {
    status = read_linear(layer_name(i, {"mlp.router.weight", "mlp.gate.weight", "ffn_gate_inp.weight"}),
                         layer_name(i, {"mlp.router.bias", "mlp.gate.bias", "ffn_gate_inp.bias"}),
                         size_t(config_.num_experts), hidden, &layer.router);
  }
  if (status.ok()) status = read_layer_experts(i, &layer);
  if (!status.ok()) return status;
  // One format of activations serves all experts.
  const bool mxfp4 = is_mxfp4(weights_.layers_[0].gate_up);
  if (is_mxfp4(layer.gate_up) == mxfp4 && is_mxfp4(layer.down) == mxfp4) return {};
  return Status::error(Code::unsupported,
                       "some experts are MXFP4 and others, in layer " + std::to_string(i) + " or 0, are not");
}

// So would leaving out a bias or a scale that some converter gives its tensors: llama.cpp takes no such file, either.
Status WeightBinder::check_all_known() const {
  const std::string* other = files_.find_other(known_);
  if (!other) return {};
  return Status::error(Code::unsupported,
                       "tensor " + Gguf::quoted(*other) + " is none that gpt-oss has, so that what the model computes is unknown");
}

Status WeightBinder::bind() {
  const size_t hidden = size_t(config_.hidden_size), vocab = size_t(config_.vocab_size);
  const std::string embedding = name_in_layout({"model.embed_tokens.weight", "embedding.weight", "token_embd.weight"}),
                    head = name_in_layout({"lm_head.weight", "unembedding.weight", "output.weight"});
  tied_ = config_.tie_word_embeddings && !files_.find(head);
  Status status = read_linear(tied_ ? embedding : head, "", vocab, hidden, &weights_.unembedding_);
  if (status.ok() && !tied_) status = read_linear(embedding, "", vocab, hidden, &weights_.embedding_);
  if (status.ok())
    status = read_vector(name_in_layout({"model.norm.weight", "norm.scale", "output_norm.weight"}), hidden, &weights_.norm_);
  const size_t layers = size_t(config_.num_hidden_layers);
  weights_.layers_.resize(layers);
  for (size_t i = 0; i < layers && status.ok(); ++i) status = read_layer(i);
  if (!status.ok()) return status;
  // Leaving layers out would give fluent nonsense.
  const std::string beyond = layer_name(layers, kFirstNorm);
  if (!files_.find(beyond)) return is_gguf() ? check_all_known() : Status();
  return Status::error(Code::invalid_file, "the checkpoint has tensor \"" + beyond + "\", but " +
                                               (is_gguf() ? "its block_count is " : "config.json says num_hidden_layers ") +
                                               std::to_string(layers));
}

}  // namespace switchyard
