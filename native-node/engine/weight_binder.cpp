#include "weight_binder.h"

#include <algorithm>

namespace switchyard {

Status WeightBinder::find(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out) {
  const TensorView* tensor = weights_.checkpoint_->find(name);
  if (!tensor) return Status::error(Code::invalid_file, "the checkpoint lacks tensor \"" + name + "\"");
  if (tensor->shape != shape) {
    TensorView wanted{tensor->dtype, shape, nullptr, 0};
    return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + tensor->describe() +
                                                 ", config.json calls for " + wanted.describe());
  }
  weights_.bytes_ += int64_t(tensor->bytes);
  in_place_.emplace_back(tensor->data, tensor->bytes);
  *out = *tensor;
  return {};
}

Status WeightBinder::find_floats(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out) {
  if (Status status = find(name, shape, out); !status.ok()) return status;
  if (is_float(out->dtype)) return {};
  return Status::error(Code::invalid_file,
                       "tensor \"" + name + "\" is " + out->describe() + ", expected BF16, F16 or F32");
}

Status WeightBinder::find_bytes(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out) {
  if (Status status = find(name, shape, out); !status.ok()) return status;
  if (out->dtype == Dtype::u8) return {};
  return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + out->describe() + ", expected U8");
}

Status WeightBinder::read_vector(const std::string& name, size_t size, std::vector<float>* out) {
  TensorView tensor;
  if (Status status = find_floats(name, {size}, &tensor); !status.ok()) return status;
  in_place_.pop_back();
  return read_floats(*weights_.checkpoint_, tensor, out);
}

// Matrices may stay where they are, until make_resident() moves them; the small vectors never do.
Status WeightBinder::read_parts(const std::string& name, const std::vector<uint64_t>& shape, bool in_place,
                                Bf16Parts* out) {
  TensorView tensor;
  if (Status status = find_floats(name, shape, &tensor); !status.ok()) return status;
  Status status = split_to_bf16(*weights_.checkpoint_, tensor, in_place, &pool_, &weights_.owned_, out);
  if (reinterpret_cast<const uint8_t*>(out->data[0]) != tensor.data) in_place_.pop_back();  // copied, so not read ahead
  return status;
}

// `bias` may be empty: none.
Status WeightBinder::read_linear(const std::string& weight, const std::string& bias, size_t rows, size_t n_in,
                                 Linear* out) {
  Bf16Parts weights, biases;
  if (Status status = read_parts(weight, {rows, n_in}, true, &weights); !status.ok()) return status;
  if (bias.empty()) {
    biases.count = 0;
  } else if (Status status = read_parts(bias, {rows}, false, &biases); !status.ok()) {
    return status;
  }
  out->count = std::max(weights.count, biases.count);
  for (size_t part = 0; part < out->count; ++part) {
    out->parts[part] = {.rows = rows, .n_in = n_in, .bf16 = weights.data[part], .bias = biases.data[part]};
  }
  return {};
}

// The original layout stacks q, k and v in one matrix; here they are three views.
Status WeightBinder::read_attention(size_t layer, LayerWeights* out) {
  const size_t hidden = size_t(config_.hidden_size), q_size = config_.q_size(), kv_size = config_.kv_size();
  const bool has_bias = config_.attention_bias;
  const auto bias_name = [&](const Name& name) { return has_bias ? layer_name(layer, name) : std::string(); };
  if (original_) {
    Linear qkv;
    if (Status status = read_linear(layer_name(layer, {"", "attn.qkv.weight"}), bias_name({"", "attn.qkv.bias"}),
                                    q_size + 2 * kv_size, hidden, &qkv);
        !status.ok()) {
      return status;
    }
    const auto rows_of = [&](size_t begin, size_t rows) {
      Linear view = qkv;
      for (size_t part = 0; part < view.count; ++part) {
        Matrix& matrix = view.parts[part];
        matrix.rows = rows;
        if (matrix.bf16) matrix.bf16 += begin * hidden;
        if (matrix.bias) matrix.bias += begin;
      }
      return view;
    };
    out->q = rows_of(0, q_size);
    out->k = rows_of(q_size, kv_size);
    out->v = rows_of(q_size + kv_size, kv_size);
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
  TensorView block_tensor, scale_tensor;
  if (Status status = find_bytes(blocks, {experts, rows, row_blocks, 16}, &block_tensor); !status.ok()) return status;
  if (Status status = find_bytes(scales, {experts, rows, row_blocks}, &scale_tensor); !status.ok()) return status;
  scales_.push_back({scales, scale_tensor.data, scale_tensor.bytes});
  for (size_t expert = 0; expert < experts; ++expert) {
    (*out)[expert].parts[0] = {.rows = rows,
                               .n_in = n_in,
                               .blocks = block_tensor.data + expert * rows * row_blocks * 16,
                               .scales = scale_tensor.data + expert * rows * row_blocks};
  }
  return {};
}

// Unquantised experts are stored as (experts, n_in, rows), for x @ W; the ops want rows of n_in.
Status WeightBinder::read_dense_experts(const std::string& name, size_t rows, size_t n_in, std::vector<Linear>* out) {
  const size_t experts = out->size();
  TensorView tensor;
  if (Status status = find_floats(name, {experts, n_in, rows}, &tensor); !status.ok()) return status;
  in_place_.pop_back();  // copied, so not read ahead
  OwnedMemory temporary;
  Bf16Parts stored;
  if (Status status = split_to_bf16(*weights_.checkpoint_, tensor, false, &pool_, &temporary, &stored); !status.ok())
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
  const bool is_dense = weights_.checkpoint_->find(dense_name) && !weights_.checkpoint_->find(blocks_name);
  if (Status status = is_dense ? read_dense_experts(dense_name, rows, n_in, out)
                               : read_mxfp4_experts(blocks_name, layer_name(layer, scales), rows, n_in, out);
      !status.ok()) {
    return status;
  }
  Bf16Parts biases;
  if (Status status = read_parts(layer_name(layer, bias), {experts, rows}, false, &biases); !status.ok()) return status;
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
  original_ = weights_.checkpoint_->find("embedding.weight") != nullptr;
  for (Status status : {
           read_linear(top_name({"model.embed_tokens.weight", "embedding.weight"}), "", vocab, hidden,
                       &weights_.embedding_),
           read_vector(top_name({"model.norm.weight", "norm.scale"}), hidden, &weights_.norm_),
       }) {
    if (!status.ok()) return status;
  }
  const std::string head = top_name({"lm_head.weight", "unembedding.weight"});
  if (config_.tie_word_embeddings && !weights_.checkpoint_->find(head)) {
    weights_.unembedding_ = weights_.embedding_;
  } else if (Status status = read_linear(head, "", vocab, hidden, &weights_.unembedding_); !status.ok()) {
    return status;
  }

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
    const auto quantised = [](const std::vector<Linear>& experts) { return experts[0].parts[0].blocks != nullptr; };
    if (quantised(layer.gate_up) != weights_.has_mxfp4_experts() ||
        quantised(layer.down) != weights_.has_mxfp4_experts()) {
      return Status::error(Code::unsupported, "some experts are MXFP4 and others, in layer " + std::to_string(i) +
                                                  " or 0, are not");
    }
  }
  // Leaving layers out would give fluent nonsense.
  const std::string beyond = layer_name(layers, {"input_layernorm.weight", "attn.norm.scale"});
  if (weights_.checkpoint_->find(beyond)) {
    return Status::error(Code::invalid_file, "the checkpoint has tensor \"" + beyond +
                                                 "\", but config.json says num_hidden_layers " +
                                                 std::to_string(layers));
  }
  return {};
}

}  // namespace switchyard
