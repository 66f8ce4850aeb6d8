#include "weight_binder.h"

#include <algorithm>

namespace switchyard {

Status WeightBinder::find(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out) {
  const StoredTensor* tensor = files_.find(name);
  if (!tensor) return Status::error(Code::invalid_file, "the checkpoint lacks tensor \"" + name + "\"");
  if (tensor->shape != shape) {
    StoredTensor wanted{tensor->dtype, shape, {}, 0};
    return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + tensor->describe() +
                                                 ", config.json calls for " + wanted.describe());
  }
  weights_.bytes_ += int64_t(tensor->bytes);
  *out = *tensor;
  return {};
}

Status WeightBinder::find_floats(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out) {
  if (Status status = find(name, shape, out); !status.ok()) return status;
  if (is_float(out->dtype)) return {};
  return Status::error(Code::invalid_file,
                       "tensor \"" + name + "\" is " + out->describe() + ", expected BF16, F16 or F32");
}

Status WeightBinder::find_bytes(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out) {
  if (Status status = find(name, shape, out); !status.ok()) return status;
  if (out->dtype == Dtype::u8) return {};
  return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + out->describe() + ", expected U8");
}

Status WeightBinder::read_vector(const std::string& name, size_t size, std::vector<float>* out) {
  StoredTensor tensor;
  if (Status status = find_floats(name, {size}, &tensor); !status.ok()) return status;
  return read_floats(files_, tensor, out);
}

Status WeightBinder::read_parts(const std::string& name, const std::vector<uint64_t>& shape, Bf16Parts* out) {
  StoredTensor tensor;
  if (Status status = find_floats(name, shape, &tensor); !status.ok()) return status;
  return split_to_bf16(files_, tensor, &pool_, &weights_.owned_, out);
}

// A tensor's rows as one matrix after the other. Those of BF16 are brought by make_resident(). `bias` may be empty: none.
Status WeightBinder::read_slices(const std::string& weight, const std::string& bias, size_t n_in,
                                 std::span<const Slice> slices) {
  size_t rows = 0;
  for (const Slice& slice : slices) rows += slice.rows;
  StoredTensor tensor;
  if (Status status = find_floats(weight, {rows, n_in}, &tensor); !status.ok()) return status;
  const bool is_stored = tensor.dtype == Dtype::bf16;
  Bf16Parts weights, biases;
  if (Status status = is_stored ? Status() : split_to_bf16(files_, tensor, &pool_, &weights_.owned_, &weights);
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
    if (is_stored) stored_[&linear.parts[0]] = {tensor.place.after(first * n_in * sizeof(uint16_t)), {}};
    first += slice.rows;
  }
  return {};
}

Status WeightBinder::read_linear(const std::string& weight, const std::string& bias, size_t rows, size_t n_in,
                                 Linear* out) {
  const Slice all[] = {{rows, out}};
  return read_slices(weight, bias, n_in, all);
}

// The original layout stacks q, k and v in one matrix.
Status WeightBinder::read_attention(size_t layer, LayerWeights* out) {
  const size_t hidden = size_t(config_.hidden_size), q_size = config_.q_size(), kv_size = config_.kv_size();
  const bool has_bias = config_.attention_bias;
  const auto bias_name = [&](const Name& name) { return has_bias ? layer_name(layer, name) : std::string(); };
  if (original_) {
    const Slice slices[] = {{q_size, &out->q}, {kv_size, &out->k}, {kv_size, &out->v}};
    if (Status status = read_slices(layer_name(layer, {"", "attn.qkv.weight"}), bias_name({"", "attn.qkv.bias"}), hidden,
                                    slices);
        !status.ok()) {
      return status;
    }
  } else {
    struct {
      const char* letter;
      size_t rows;
      Linear* linear;
    } const matrices[] = {{"q", q_size, &out->q}, {"k", kv_size, &out->k}, {"v", kv_size, &out->v}};
    for (const auto& matrix : matrices) {
      const std::string name = layer_name(layer, {"self_attn.", ""}) + matrix.letter + "_proj.";
      if (Status status =
              read_linear(name + "weight", has_bias ? name + "bias" : "", matrix.rows, hidden, matrix.linear);
          !status.ok())
        return status;
    }
  }
  if (Status status = read_linear(layer_name(layer, {"self_attn.o_proj.weight", "attn.out.weight"}),
                                  bias_name({"self_attn.o_proj.bias", "attn.out.bias"}), hidden, q_size, &out->o);
      !status.ok()) {
    return status;
  }
  return read_vector(layer_name(layer, {"self_attn.sinks", "attn.sinks"}), size_t(config_.num_attention_heads),
                     &out->sinks);
}

Status WeightBinder::read_mxfp4_experts(const std::string& blocks, const std::string& scales, size_t rows, size_t n_in,
                                        std::vector<Linear>* out) {
  const size_t experts = out->size(), row_blocks = n_in / 32;
  StoredTensor block_tensor, scale_tensor;
  if (Status status = find_bytes(blocks, {experts, rows, row_blocks, 16}, &block_tensor); !status.ok()) return status;
  if (Status status = find_bytes(scales, {experts, rows, row_blocks}, &scale_tensor); !status.ok()) return status;
  scales_[scale_tensor.place.number()] = scales;
  for (size_t expert = 0; expert < experts; ++expert) {
    Matrix& matrix = (*out)[expert].parts[0];
    matrix = {.rows = rows, .n_in = n_in};
    stored_[&matrix] = {block_tensor.place.after(expert * rows * row_blocks * 16),
                        scale_tensor.place.after(expert * rows * row_blocks)};
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
  if (Status status = split_to_bf16(files_, tensor, &pool_, &temporary, &stored); !status.ok())
    return status;
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
  out->resize(experts);
  const std::string dense_name = layer_name(layer, dense), blocks_name = layer_name(layer, blocks);
  const bool is_dense = files_.find(dense_name) && !files_.find(blocks_name);
  if (Status status = is_dense ? read_dense_experts(dense_name, rows, n_in, out)
                               : read_mxfp4_experts(blocks_name, layer_name(layer, scales), rows, n_in, out);
      !status.ok()) {
    return status;
  }
  Bf16Parts biases;
  if (Status status = read_parts(layer_name(layer, bias), {experts, rows}, &biases); !status.ok()) return status;
  for (size_t expert = 0; expert < experts; ++expert) {
    Linear& linear = (*out)[expert];
    linear.count = std::max(linear.count, biases.count);
    for (size_t part = 0; part < linear.count; ++part) {
      linear.parts[part].rows = rows;
      linear.parts[part].n_in = n_in;
      if (biases.data[part]) linear.parts[part].bias = biases.data[part] + expert * rows;
    }
  }
  return {};
}

Status WeightBinder::bind() {
  const size_t hidden = size_t(config_.hidden_size), intermediate = size_t(config_.intermediate_size),
               vocab = size_t(config_.vocab_size);
  original_ = files_.find("embedding.weight") != nullptr;
  const std::string embedding = top_name({"model.embed_tokens.weight", "embedding.weight"}),
                    head = top_name({"lm_head.weight", "unembedding.weight"});
  tied_ = config_.tie_word_embeddings && !files_.find(head);
  Status status = read_linear(tied_ ? embedding : head, "", vocab, hidden, &weights_.unembedding_);
  if (status.ok() && !tied_) status = read_linear(embedding, "", vocab, hidden, &weights_.embedding_);
  if (status.ok()) status = read_vector(top_name({"model.norm.weight", "norm.scale"}), hidden, &weights_.norm_);
  if (!status.ok()) return status;

  const size_t layers = size_t(config_.num_hidden_layers);
  weights_.layers_.resize(layers);
  for (size_t i = 0; i < layers; ++i) {
    LayerWeights& layer = weights_.layers_[i];
    Status status = read_vector(layer_name(i, {"input_layernorm.weight", "attn.norm.scale"}), hidden, &layer.attn_norm);
    if (status.ok()) status = read_attention(i, &layer);
    if (status.ok())
      status =
          read_vector(layer_name(i, {"post_attention_layernorm.weight", "mlp.norm.scale"}), hidden, &layer.mlp_norm);
    if (status.ok()) {
      status = read_linear(layer_name(i, {"mlp.router.weight", "mlp.gate.weight"}),
                           layer_name(i, {"mlp.router.bias", "mlp.gate.bias"}), size_t(config_.num_experts), hidden,
                           &layer.router);
    }
    if (status.ok()) {
      status =
          read_experts(i, {"mlp.experts.gate_up_proj_blocks", "mlp.mlp1_weight.blocks"},
                       {"mlp.experts.gate_up_proj_scales", "mlp.mlp1_weight.scales"},
                       {"mlp.experts.gate_up_proj", "mlp.mlp1_weight"},
                       {"mlp.experts.gate_up_proj_bias", "mlp.mlp1_bias"}, 2 * intermediate, hidden, &layer.gate_up);
    }
    if (status.ok()) {
      status = read_experts(i, {"mlp.experts.down_proj_blocks", "mlp.mlp2_weight.blocks"},
                            {"mlp.experts.down_proj_scales", "mlp.mlp2_weight.scales"},
                            {"mlp.experts.down_proj", "mlp.mlp2_weight"},
                            {"mlp.experts.down_proj_bias", "mlp.mlp2_bias"}, hidden, intermediate, &layer.down);
    }
    if (!status.ok()) return status;
    // One format of activations serves all experts.
    const bool mxfp4 = is_mxfp4(weights_.layers_[0].gate_up);
    if (is_mxfp4(layer.gate_up) != mxfp4 || is_mxfp4(layer.down) != mxfp4) {
      return Status::error(Code::unsupported, "some experts are MXFP4 and others, in layer " + std::to_string(i) +
                                                  " or 0, are not");
    }
  }
  // Leaving layers out would give fluent nonsense.
  const std::string beyond = layer_name(layers, {"input_layernorm.weight", "attn.norm.scale"});
  if (files_.find(beyond)) {
    return Status::error(Code::invalid_file, "the checkpoint has tensor \"" + beyond +
                                                 "\", but config.json says num_hidden_layers " +
                                                 std::to_string(layers));
  }
  return {};
}

}  // namespace switchyard
