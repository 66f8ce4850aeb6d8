// The shape of a gpt-oss model, read from config.json here and from a GGUF file's keys in gguf_config.h.
// Accepts the Hugging Face names (old `rope_scaling` + `rope_theta` and new `rope_parameters`) and the names of the
// original release. Any gpt-oss shape within the limits below is taken, not only the published two.
#pragma once

#include <string>
#include <vector>

#include "status.h"

namespace switchyard {

// Far above any published model; they keep every size computed from them inside 64 bits.
inline constexpr int kMaxLayers = 1024, kMaxWidth = 1 << 16, kMaxExperts = 4096, kMaxVocabulary = 1 << 22, kMaxHeadDim = 1024,
                     kMaxHeads = 1024, kMaxPositions = 1 << 24;

// Rotary embedding with YaRN scaling: https://arxiv.org/abs/2309.00071. factor 1 means plain frequencies.
struct RopeConfig {
  double theta = 150000;
  double factor = 32;
  double beta_fast = 32, beta_slow = 1;
  double original_max_position_embeddings = 4096;
  double attention_factor = 0;  // multiplies cos and sin; 0: 0.1 ln(factor) + 1, or 1 for a factor below 1
  bool truncate = false;        // floor and ceil the ramp's ends; the released models do not
};

struct ModelConfig {
  int num_hidden_layers = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_experts = 0;
  int experts_per_token = 0;
  int vocab_size = 0;
  int head_dim = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int sliding_window = 0;        // a query sees this many positions, its own included
  std::vector<bool> is_sliding;  // (num_hidden_layers)
  int max_position_embeddings = 131072;
  float rms_norm_eps = 1e-5f;
  float swiglu_limit = 7.0f;
  bool attention_bias = true;
  bool tie_word_embeddings = false;
  RopeConfig rope;

  size_t q_size() const { return size_t(num_attention_heads) * head_dim; }
  size_t kv_size() const { return size_t(num_key_value_heads) * head_dim; }
};

// Reads `folder`/config.json. not_found, invalid_file with the field at fault, or unsupported.
Status load_config(const std::string& folder, ModelConfig* out);

// The same from text; `name` is what messages call it.
Status parse_config(std::string text, const std::string& name, ModelConfig* out);

}  // namespace switchyard
