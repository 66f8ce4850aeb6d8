// Golden models as GGUF files, in all the forms that the converters write.
#pragma once

#include <cmath>
#include <functional>

#include "checkpoint.h"
#include "config.h"
#include "gguf_builder.h"
#include "model_fixture.h"
#include "scratch_folder.h"

namespace switchyard {

enum class Experts { split, fused, ollama };

struct GgufForm {
  Experts experts = Experts::split;
  bool stacked_qkv = false;
  std::string dense = "BF16";  // of the matrices: F32, BF16, Q8_0, or Q8_0 as F32: the same numbers
  std::string expert_type = "";  // the same; empty: MXFP4, as the model has them
};

class GgufModel {
 public:
  GgufModel(const std::string& name, GgufForm form) : form_(form) {
    CHECK_OK(load_config(golden_folder() + name + "/hf", &config_));
    CHECK_OK(Checkpoint::open(golden_folder() + name + "/hf", &files_));
    add_keys();
    add_tensors();
  }
  GgufBuilder builder;
  const ModelConfig& config() const { return config_; }

 private:
  using Floats = std::vector<float>;

  std::string key(const char* name) const { return (form_.experts == Experts::ollama ? "gptoss." : "gpt-oss.") + std::string(name); }

  void add_keys() {
    const bool ollama = form_.experts == Experts::ollama;
    builder.text("general.architecture", ollama ? "gptoss" : "gpt-oss");
    builder.u32(key("block_count"), uint32_t(config_.num_hidden_layers)).u32(key("context_length"), uint32_t(config_.max_position_embeddings));
    builder.u32(key("embedding_length"), uint32_t(config_.hidden_size)).u32(key("feed_forward_length"), uint32_t(config_.intermediate_size));
    builder.u32(key("expert_count"), uint32_t(config_.num_experts)).u32(key("expert_used_count"), uint32_t(config_.experts_per_token));
    builder.u32(key("attention.head_count"), uint32_t(config_.num_attention_heads));
    builder.u32(key("attention.head_count_kv"), uint32_t(config_.num_key_value_heads));
    builder.u32(key("attention.key_length"), uint32_t(config_.head_dim)).u32(key("attention.value_length"), uint32_t(config_.head_dim));
    builder.u32(key("attention.sliding_window"), uint32_t(config_.sliding_window)).u32(key("vocab_size"), uint32_t(config_.vocab_size));
    builder.f32(key("attention.layer_norm_rms_epsilon"), config_.rms_norm_eps).f32(key("rope.freq_base"), float(config_.rope.theta));
    builder.f32(key("rope.scaling.factor"), float(config_.rope.factor));
    builder.u32(key("rope.scaling.original_context_length"), uint32_t(config_.rope.original_max_position_embeddings));
    if (!ollama && config_.rope.factor != 1) builder.text(key("rope.scaling.type"), "yarn");
  }

  std::string bytes(const std::string& name, std::vector<uint64_t>* shape = nullptr) const {
    const StoredTensor* tensor = files_->find(name);
    if (!CHECK(tensor != nullptr)) return {};
    if (shape) *shape = tensor->shape;
    std::string data(tensor->bytes, '\0');
    CHECK(!files_->read(tensor->place, data.size(), data.data()));
    return data;
  }

  Floats floats(const std::string& name, std::vector<uint64_t>* shape) const {
    const std::string data = bytes(name, shape);
    const bool wide = files_->find(name)->dtype == Dtype::f32;
    Floats values(data.size() / (wide ? 4 : 2));
    for (size_t i = 0; i < values.size(); ++i) {
      uint32_t bits = 0;
      std::memcpy(wide ? reinterpret_cast<char*>(&bits) : reinterpret_cast<char*>(&bits) + 2, &data[i * (wide ? 4 : 2)], wide ? 4 : 2);
      std::memcpy(&values[i], &bits, 4);
    }
    return values;
  }

  static std::string as_bf16(const Floats& values) {
    std::string data(values.size() * 2, '\0');
    for (size_t i = 0; i < values.size(); ++i) std::memcpy(&data[2 * i], reinterpret_cast<const char*>(&values[i]) + 2, 2);
    return data;
  }
  static std::string as_f32(const Floats& values) { return {reinterpret_cast<const char*>(values.data()), values.size() * 4}; }

  // Scales that are f16 numbers of all 11 bits.
  static std::string as_q8(const Floats& values, Floats* rounded) {
    std::string data;
    for (size_t begin = 0; begin < values.size(); begin += 32) {
      float largest = 0;
      for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(values[begin + i]));
      int exponent = 0;
      const float mantissa = std::ceil(std::frexp(std::max(largest / 127, 1e-4f), &exponent) * 2048);
      const float scale = std::ldexp(mantissa, exponent - 11);
      const uint16_t half = mantissa == 2048 ? uint16_t((exponent + 15) << 10) : uint16_t((exponent + 14) << 10 | (int(mantissa) & 1023));
      data += little_endian(half);
      for (size_t i = 0; i < 32; ++i) {
        const auto q = int8_t(std::lrint(values[begin + i] / scale));
        data += char(q);
        rounded->push_back(float(q) * scale);
      }
    }
    return data;
  }

  void add(const std::string& name, std::vector<uint64_t> shape, const std::string& type, const Floats& values) {
    Floats rounded;
    if (type == "Q8_0") {
      builder.tensor({name, 8, shape, as_q8(values, &rounded)});
    } else if (type == "Q8_0 as F32") {
      as_q8(values, &rounded);
      builder.tensor({name, 0, shape, as_f32(rounded)});
    } else if (type == "F32") {
      builder.tensor({name, 0, shape, as_f32(values)});
    } else {
      builder.tensor({name, 30, shape, as_bf16(values)});
    }
  }

  void add_as(const std::string& to, const std::string& from, const std::string& type) {
    std::vector<uint64_t> shape;
    const Floats values = floats(from, &shape);
    add(to, shape, type, values);
  }

  void add_attention(const std::string& to, const std::string& from) {
    const bool ollama = form_.experts == Experts::ollama, has_bias = config_.attention_bias;
    for (const std::string suffix : {".weight", ".bias"}) {
      if (suffix == ".bias" && !has_bias) continue;
      Floats all;
      std::vector<uint64_t> shape, stacked;
      for (const std::string letter : {"q", "k", "v"}) {
        const Floats values = floats(from + "self_attn." + letter + "_proj" + suffix, &shape);
        const std::string type = suffix == ".weight" ? form_.dense : "F32";
        if (!form_.stacked_qkv) add(to + "attn_" + letter + suffix, shape, type, values);
        all.insert(all.end(), values.begin(), values.end());
        shape[0] += stacked.empty() ? 0 : stacked[0];
        stacked = shape;
      }
      if (form_.stacked_qkv) add(to + "attn_qkv" + suffix, stacked, suffix == ".weight" ? form_.dense : "F32", all);
      add_as(to + (ollama ? "attn_out" : "attn_output") + suffix, from + "self_attn.o_proj" + suffix,
             suffix == ".weight" ? form_.dense : "F32");
    }
    add_as(to + (ollama ? "attn_sinks" : "attn_sinks.weight"), from + "self_attn.sinks", "F32");
  }

  // Rows of bytes, (experts, rows, ...), those of one half or all of them, in this file's order.
  template <typename Row>
  std::vector<Row> in_order(const std::vector<Row>& rows, size_t each, int half) const {
    std::vector<Row> out;
    for (size_t expert = 0; expert < rows.size() / each; ++expert) {
      for (const int which : {0, 1}) {
        for (size_t i = 0; i < each; ++i) {
          const bool ollama = form_.experts == Experts::ollama;
          if (ollama ? which == 0 : int(i % 2) == which && (half < 0 || half == which)) out.push_back(rows[expert * each + i]);
        }
      }
    }
    return out;
  }

  template <typename Row>
  void add_rows(const std::string& stem, const std::string& suffix, const std::vector<Row>& rows, size_t each, bool gate_up,
                const std::function<void(const std::string&, uint64_t, const std::vector<Row>&)>& put) {
    if (!gate_up) return put(stem + "ffn_down_exps" + suffix, each, rows);
    if (form_.experts != Experts::split) return put(stem + "ffn_gate_up_exps" + suffix, each, in_order(rows, each, -1));
    put(stem + "ffn_gate_exps" + suffix, each / 2, in_order(rows, each, 0));
    put(stem + "ffn_up_exps" + suffix, each / 2, in_order(rows, each, 1));
  }

  void add_experts(const std::string& to, const std::string& from, bool gate_up) {
    const uint64_t experts = uint64_t(config_.num_experts);
    const uint64_t each = gate_up ? uint64_t(config_.intermediate_size) * 2 : uint64_t(config_.hidden_size);
    const uint64_t n_in = uint64_t(gate_up ? config_.hidden_size : config_.intermediate_size);
    const std::string source = from + "mlp.experts." + (gate_up ? "gate_up_proj" : "down_proj");
    std::vector<uint64_t> shape;
    std::vector<Floats> biases;
    for (const float value : floats(source + "_bias", &shape)) biases.push_back({value});
    add_rows<Floats>(to, ".bias", biases, each, gate_up, [&](const std::string& name, uint64_t rows, const std::vector<Floats>& parts) {
      Floats all;
      for (const Floats& part : parts) all.push_back(part[0]);
      add(name, {experts, rows}, "F32", all);
    });
    if (form_.expert_type.empty()) {
      add_rows<std::string>(to, ".weight", mxfp4_rows(source, n_in / 32), each, gate_up,
                            [&](const std::string& name, uint64_t rows, const std::vector<std::string>& parts) {
                              std::string all;
                              for (const std::string& part : parts) all += part;
                              builder.tensor({name, form_.experts == Experts::ollama ? 4u : 39u, {experts, rows, n_in}, all});
                            });
      return;
    }
    const Floats values = floats(source, &shape);  // (experts, n_in, rows)
    std::vector<Floats> rows(experts * each, Floats(n_in));
    for (size_t row = 0; row < rows.size(); ++row) {
      for (size_t i = 0; i < n_in; ++i) rows[row][i] = values[row / each * n_in * each + i * each + row % each];
    }
    add_rows<Floats>(to, ".weight", rows, each, gate_up, [&](const std::string& name, uint64_t count, const std::vector<Floats>& parts) {
      Floats all;
      for (const Floats& part : parts) all.insert(all.end(), part.begin(), part.end());
      add(name, {experts, count, n_in}, form_.expert_type, all);
    });
  }

  // A scale and 16 bytes a block; in ggml's order the elements j and j + 16 share a byte, by Ollama 2j and 2j + 1 as in the checkpoint.
  std::vector<std::string> mxfp4_rows(const std::string& source, size_t row_blocks) const {
    const std::string blocks = bytes(source + "_blocks"), scales = bytes(source + "_scales");
    std::vector<std::string> rows(scales.size() / row_blocks);
    for (size_t i = 0; i < scales.size(); ++i) {
      std::string block = blocks.substr(i * 16, 16);
      if (form_.experts != Experts::ollama) {
        const auto element = [&](size_t e) { return blocks[i * 16 + e / 2] >> (e % 2 * 4) & 15; };
        for (size_t j = 0; j < 16; ++j) block[j] = char(element(j) | element(j + 16) << 4);
      }
      rows[i / row_blocks] += scales[i] + block;
    }
    return rows;
  }

  void add_tensors() {
    add_as("token_embd.weight", "model.embed_tokens.weight", form_.dense);
    if (files_->find("lm_head.weight")) add_as("output.weight", "lm_head.weight", form_.dense);
    add_as("output_norm.weight", "model.norm.weight", "F32");
    for (int i = 0; i < config_.num_hidden_layers; ++i) {
      const std::string to = "blk." + std::to_string(i) + ".", from = "model.layers." + std::to_string(i) + ".";
      const char* second_norm = form_.experts == Experts::ollama ? "ffn_norm" : "post_attention_norm";
      add_as(to + "attn_norm.weight", from + "input_layernorm.weight", "F32");
      add_as(to + second_norm + ".weight", from + "post_attention_layernorm.weight", "F32");
      add_attention(to, from);
      add_as(to + "ffn_gate_inp.weight", from + "mlp.router.weight", "F32");
      add_as(to + "ffn_gate_inp.bias", from + "mlp.router.bias", "F32");
      add_experts(to, from, true);
      add_experts(to, from, false);
    }
  }

  GgufForm form_;
  ModelConfig config_;
  std::unique_ptr<Checkpoint> files_;
};

}  // namespace switchyard
